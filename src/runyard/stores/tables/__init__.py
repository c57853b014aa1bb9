"""Binding, executing and decoding of the named queries, the same code for both databases."""
