"""Tasks: deploying, reading and stopping them."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from runyard.protocol.shapes import bundles as bundle_shapes
from runyard.protocol.shapes import tasks as task_shapes
from runyard.sdk.client.archive import Archive, pack
from runyard.sdk.client.events import EVENT_STREAM
from runyard.sdk.client.failures import ServerBroken, failure
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import (
    Answer,
    Plan,
    Request,
    ServerEvent,
    all_pages,
    ask,
    get,
    operation,
    post,
    put,
    read,
)

DEPLOY_PATIENCE = timedelta(minutes=15)
"""An environment may have to be built first."""
ZIP = "application/zip"


class TaskOperations(Addresses):
    """Tasks: deploying, reading and stopping them."""

    @operation
    def deploy(
        self,
        code: Path | Archive,
        *,
        name: str | None = None,
        take_over: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> Plan[bundle_shapes.DeployReport]:
        """Deploys a file or folder of task code as one bundle.

        `name`: of the bundle; of the file or folder unless given. `take_over`: tasks that another
        bundle owns now become this one's. `on_line` is called with what the worker does meanwhile.
        Raises CodeRefused with file, line and reason; nothing has changed then.
        """
        archive = code if isinstance(code, Archive) else pack(code)
        query = {"name": name or archive.name, "take_over": "true" if take_over else None}
        listener = _DeployListener(on_line)
        answer = yield Request(
            method="POST",
            path=self._path("bundles"),
            query=query,
            headers={"accept": EVENT_STREAM},
            body=archive.content,
            content_type=ZIP,
            patience=DEPLOY_PATIENCE,
            on_event=listener.receive,
        )
        return listener.deployment(answer)

    @operation
    def tasks(self, *, include_withdrawn: bool = False) -> Plan[tuple[task_shapes.Task, ...]]:
        """All tasks of the company."""
        query = {"withdrawn": "true" if include_withdrawn else None}
        return (yield from all_pages(get(self._path("tasks"), query), task_shapes.TaskPage))

    @operation
    def task(self, task: Ref) -> Plan[task_shapes.Task]:
        """One task with its inputs and outputs."""
        return (yield from ask(get(self._path("tasks", task)), task_shapes.Task))

    @operation
    def versions(self, task: Ref) -> Plan[tuple[task_shapes.Version, ...]]:
        """A task's versions, newest first."""
        return (
            yield from all_pages(
                get(self._path("tasks", task, "versions")), task_shapes.VersionPage
            )
        )

    @operation
    def set_runnable(self, task: Ref, runnable: bool) -> Plan[task_shapes.Task]:  # noqa: FBT001 - it is the value
        """Lets a task be started, or not."""
        request = put(self._path("tasks", task, "runnable"), {"runnable": runnable})
        return (yield from ask(request, task_shapes.Task))

    @operation
    def kill_task(self, task: Ref) -> Plan[task_shapes.KillReport]:
        """Ends all running runs of a task."""
        return (yield from ask(post(self._path("tasks", task, "kill")), task_shapes.KillReport))

    @operation
    def clean_task(self, task: Ref) -> Plan[int]:
        """Cancels all queued runs of a task; how many there were."""
        return (
            yield from ask(post(self._path("tasks", task, "clean")), task_shapes.CleanReport)
        ).cancelled


class _DeployListener:
    """Follows a deployment: lines while it lasts, then its report or why it was refused."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._last: ServerEvent | None = None

    def receive(self, event: ServerEvent) -> None:
        """Takes in one event."""
        if event.name == "line" and self._on_line is not None:
            self._on_line(read(event.data, bundle_shapes.DeployLine).text)
        elif event.name in ("report", "problem"):
            self._last = event

    def deployment(self, answer: Answer) -> bundle_shapes.DeployReport:
        """What came of it; raises what the server refused it with."""
        match self._last:
            case None if not answer.body:
                raise ServerBroken("The deploy ended without a report.")
            case None:
                return read(answer.body, bundle_shapes.DeployReport)
            case ServerEvent(name="problem", data=data):
                raise failure(400, {}, data.encode())
            case ServerEvent(data=data):
                return read(data, bundle_shapes.DeployReport)
