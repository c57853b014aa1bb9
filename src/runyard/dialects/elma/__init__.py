"""The ELMA RPA task queue: tasks created, asked about and cancelled by systems, their files, the processes.

    routes      the table of the six calls, the OpenAPI document, the doors
    options     what the operator chooses
    admission   who calls: the body says so, in `auth_tkn`
    shapes      what goes over the wire
    wire        our states, causes, priorities, log lines and errors as the dialect's: total mappings, pure
    names       the UUIDs that the dialect shows and we do not have: derived, always the same, pure
    values      contexts as inputs and outputs as contexts, by declared types, pure
    logs        the one string that a task's log is
    tasks       create, status and cancel, and what a callback says
    repository  download, actual and history

Compatible with the API as it is publicly described; what is not public is Runyard's own choice, and
docs/elma.md says which.
"""
