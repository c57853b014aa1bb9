"""Start task: the operation that programs call most, kept as straight as the native one.

One pass over the headers, one decode, one call of the engine, one encode. Whatever can be refused
without the body is refused before it is read.
"""

import hashlib

import msgspec
from msgspec import UNSET, UnsetType

from runyard.dialects.integray import shapes
from runyard.dialects.integray.dialect import Dialect, the_task
from runyard.dialects.integray.statuses import NAMES, StatusId
from runyard.dialects.integray.wire import only_table
from runyard.engine.starts import IdempotencyKey, Started, StartRequest
from runyard.model.errors import Overloaded
from runyard.model.states import Trigger
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.web.asgi import Headers
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

_LONGEST_KEY = 255
_NOTHING = shapes.StartTaskRequest()
_FORM = "one object with the named inputs, or an array of such objects"


class Starts:
    """Starts task runs."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._waits = dialect.options.not_runnable == "queue"

    async def start_task(self, request: Request) -> Response:
        """Schedules an on-demand task run and answers its id; when that is answered, it is on disk. With
        an `Idempotency-Key` the same request again answers the same task run and starts nothing.
        """
        house, company = request.house, request.company
        request.query(shapes.NoQuery)
        house.refuse_while_stopping()
        if house.pressure.is_high:
            house.pressure.refuse(request.engine.clock.monotonic())
        task = await the_task(request, company)
        if request.has_body:
            request.demand_json()
            await request.body(house.limits.starts)
        asked = await self._dialect.json_or(request, _NOTHING)
        start = StartRequest(
            task=str(task.id),
            input=await self._input(request, task, asked.input),
            trigger=Trigger.REMOTE_API,
            by=request.actor,
            note=None if asked.note is UNSET else asked.note,
            waits=self._waits,
        )
        key = await _key_from(request, task)
        try:
            started = await request.engine.starts.start(company, [start], key=key)
        except Overloaded as refused_now:
            house.pressure.note(refused_now, request.engine.clock.monotonic())
            raise
        return self._created(request, task, started)

    async def _input(self, request: Request, task: Task, raw: msgspec.Raw | UnsetType) -> bytes:
        """The named inputs, JSON: an array goes whole to a single table, else it is one row."""
        if raw is UNSET:
            return b"{}"
        text = bytes(raw)
        if text[:1] == b"{":
            return text
        if text[:1] != b"[":
            raise refused("input", text[:80].decode(errors="replace"), _FORM)
        version = await request.engine.directory.version(task.version_id)
        table = only_table(version)
        if table is not None:
            return b"{%s:%s}" % (msgspec.json.encode(table), text)
        rows = msgspec.json.decode(text, type=list[msgspec.Raw])
        if len(rows) > 1:
            allowed = "one row: only a task whose one input is a table takes several"
            raise refused("input", f"{len(rows)} rows", allowed)
        row = bytes(rows[0]) if rows else b"{}"
        if row[:1] != b"{":
            raise refused("input[0]", row[:80].decode(errors="replace"), _FORM)
        return row

    def _created(self, request: Request, task: Task, started: Started) -> Response:
        run = started.runs[0]
        headers: Headers = [(b"location", self._dialect.run_address(request, run.id))]
        if started.repeated:
            headers.append((b"idempotent-replayed", b"true"))
        created = shapes.TaskRunCreated(
            task_run_id=run.id,
            task_id=task.id,
            status_id=StatusId.SCHEDULED,
            status=NAMES[StatusId.SCHEDULED],
            level=0,
            restarted_from_id=None,
        )
        return self._dialect.answer(created, 201, headers)

    def route(self) -> Route:
        """Where it stands as usual."""
        return Route(
            method="POST",
            path="/{CompanySlug}/tasks/{taskId}/start",
            operation="startTask",
            title="Start task",
            permission=Permission.OPERATE,
            endpoint=self.start_task,
            tag="Task",
            body=shapes.StartTaskRequest,
            is_body_optional=True,
            headers={
                "Idempotency-Key": "The same key with the same body again answers the same run."
            },
            answer=shapes.TaskRunCreated,
            answer_headers={"Location": "Address of the task run."},
            status=201,
        )


async def _key_from(request: Request, task: Task) -> IdempotencyKey | None:
    header = request.headers.get(b"idempotency-key")
    if header is None:
        return None
    if not 1 <= len(header) <= _LONGEST_KEY or not header.isascii() or b"\x00" in header:
        raise refused("Idempotency-Key", "another text", f"1 to {_LONGEST_KEY} ASCII characters")
    body = await request.body() if request.has_body else b""
    digest = hashlib.sha256(b"%d\n%s" % (task.id, body)).digest()
    return IdempotencyKey(text=header.decode(), request_digest=digest)
