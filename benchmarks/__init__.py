"""What Runyard is measured against, and how: peers and Runyard in one run on one machine.

`python -m benchmarks` runs everything; `docs/benchmarks.md` explains what the figures mean. Peers run in
virtual environments of their own, so nothing here may import a peer outside `benchmarks.peers`.
"""
