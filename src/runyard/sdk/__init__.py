"""What task authors import: the task decorator, the run context, inputs, files, the client.

    from runyard import File, log, task

    @task("Zip code", timeout="30s", retries=2)
    def zip_code(zip: str) -> str: ...

The way of a task from text to a running function: `tasks` has the decorator, `annotations` and
`signature` read what a function declares, `bundles`, `requirements`, `reach` and `inspection` find
the tasks of a deployed folder, `runtime` loads and calls one. While it is called, `current` says
which run that is, `logs`, `steps` and `files` serve the code, and everything that leaves the run
goes through the `channel`.

This package and what it imports need the standard library and msgspec only: it is in every child.
"""

from runyard.sdk.annotations import Email, Input, Output
from runyard.sdk.current import context
from runyard.sdk.files import File
from runyard.sdk.logs import log
from runyard.sdk.steps import step
from runyard.sdk.tasks import Retry, Task, task

__all__ = ["Email", "File", "Input", "Output", "Retry", "Task", "context", "log", "step", "task"]
