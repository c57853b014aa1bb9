"""The verbs: what may happen to a run, who runs what next, and what happens when something dies.

One life of a queued run, and where each part is decided:

    start      `starts`       values checked, pinned to a version, one durable piece of writing
    dispatch   `dispatch`     which company, which gate, which worker session; one claim a turn
    assign     `sessions`     the claimed run travels to its worker; begun and ended come back
    finish     `attempts`     outcome -> cause -> state by the transition table, or another attempt
    rescue     `maintenance`  leases that expired, instants that came, runs that are old

Servers that share a database tell each other (`news`, `peers`, `hearing`): hints, that no decision
hangs on. What has to happen at another server is asked for (`elsewhere`) and done there (`errands`).

Doors call `Engine` (in `engine.py`), which knows the parts; parts know the Store contract and the
clock, and never a database.
"""
