"""The JSON shapes of the native API: what its server writes and its clients read, and back.

The docstring below a field is its description in the OpenAPI document. Durations are ISO 8601
("PT30S", "P30D"), instants RFC 3339 with an offset. A request with a field that its shape does not
have is refused; a reader of an answer ignores fields that it does not know.

Each module has the shapes of one kind of thing; `parts` has what all of them are made of. Who works with
values of the same names as well calls a module `run_shapes`, `task_shapes` and so on.
"""
