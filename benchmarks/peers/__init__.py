"""The peers' halves of the benchmark: their applications, their producers. Run inside their own environments.

Each `*_side` module is a program for `python -m`, started from the repository root by `benchmarks.queues`. It may
import the standard library and the peer, nothing of Runyard and nothing of the project's environment.
"""
