"""The door for workers: frames on one side, the engine's words on the other.

A `WorkerLink` is one conversation. It translates and decides nothing: what a report means is the
engine's business, what may be said when is the protocol session's. Everything that has to wait
(recording a step, sending a blob, keeping a file) is a task of the gateway's own group, so that
receiving never waits.
"""
