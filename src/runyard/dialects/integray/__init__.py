"""The Integray Remote API: steering a company's orchestrator, tasks and task runs from outside.

    routes      the table of operations, the OpenAPI document, the door
    profile     where operations stand and what fields are called, if the operator wants it otherwise
    admission   the remote control token, and the company by its slug
    shapes      what goes over the wire
    wire        our states, causes, levels and errors as the dialect's: total mappings, pure
    agents, orchestrator, tasks, starts, taskruns, metrics
                one module per group of operations

Everything is compatible with the Remote API as it is publicly described, in spirit and in name; the
paths and fields, which are not public, are Runyard's own choice.
"""
