"""Runyard's own API under `/runyard/v1`: everything the engine can do, in its own words.

routes    what stands at which address, with which permission
starts    the hot route: starting runs
streams   what happens, as server-sent events
uploads   files and bundles, which are never held in memory whole
wire      model values as the shapes of `runyard.protocol.shapes`
"""
