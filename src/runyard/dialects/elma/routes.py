"""The whole dialect: its six calls, their document, its doors."""

import msgspec

from runyard import __version__
from runyard.dialects.elma import repository, shapes, tasks, wire
from runyard.dialects.elma.examples import EXAMPLES, PROCESS
from runyard.dialects.elma.options import Options
from runyard.dialects.elma.repository import Repository
from runyard.dialects.elma.tasks import DIALECT, Tasks
from runyard.model import errors
from runyard.model.errors import RunyardError
from runyard.model.systems import SystemState
from runyard.model.tokens import Permission
from runyard.web.asgi import Scope
from runyard.web.door import Door
from runyard.web.errors import RangeRefused
from runyard.web.house import House
from runyard.web.openapi import Refusal, Title, document
from runyard.web.references import Reference
from runyard.web.requests import Request, refused
from runyard.web.responses import ENCODER, JSON, Response
from runyard.web.routing import Route
from runyard.web.schemas import Json

PREFIX = "/v1"
ADDRESSES = ("/v1/orchestra", "/v1/repository")
"""Where its calls stand; whatever else is asked for below them is answered in its form too."""
DOCUMENT = "/orchestra/openapi.json"

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

_REFUSALS: tuple[tuple[int, str, RunyardError], ...] = (
    (
        400,
        "The body is not JSON, or a member is missing or wrong; the text names it.",
        refused("ctx.IntParam_in", '"76"', "a whole number"),
    ),
    (
        401,
        "`auth_tkn` is missing, malformed or unknown.",
        errors.Unauthenticated("no system has this UUID"),
    ),
    (
        403,
        f"The system is in state {SystemState.REQUEST} or {SystemState.LOCKED}.",
        errors.Forbidden("the system 'Finance BPM' waits to be allowed"),
    ),
    (
        404,
        "There is no such process, version, task or file, or it is not the system's own.",
        errors.TaskNotFound(f"no process with token {PROCESS}"),
    ),
    (
        409,
        "The process is not active, the task is not in the queue any more, or not over yet.",
        wire.CancelledTooLate("task 41 is over (DONE): it is not in the queue"),
    ),
    (413, "The body is too large.", errors.TooLarge("the body may have at most 1,048,576 bytes")),
    (416, "The wanted part lies outside the file.", RangeRefused(5)),
    (
        429,
        "There are too many calls, or tasks in the queue; try again later.",
        errors.QueueFull("company 'acme' has 1000000 queued runs; allowed: 1000000"),
    ),
    (
        503,
        "Nothing can be taken at the moment; try again later.",
        errors.StorageUnavailable("the disk is full"),
    ),
)
"""Every error status, what it means, and an example."""

_ABOUT = Title(
    title="Task queue",
    version=__version__,
    description=(
        "Queues tasks for bots, tells how they stand, and hands out what they returned. Compatible "
        "with the public API of ELMA RPA's task queue as it is publicly described. Who calls stands "
        "in the body: `auth_tkn` is the UUID of a system that an administrator has allowed "
        "(`runyard system create`, `runyard system allow`, or the console's page *Systems*). The "
        "content type of a request does not matter. Answers have the number of HTTP that fits in "
        "`status`; instants are RFC 3339 in UTC."
    ),
    tags={
        tasks.TAG: "Tasks: created, asked about, taken out of the queue.",
        repository.TAG: "Files of finished tasks, and processes with their versions.",
    },
    params={},
    examples=EXAMPLES,
    refusals={
        status: Refusal(meaning=meaning, example=msgspec.to_builtins(wire.failure_of(error)))
        for status, meaning, error in _REFUSALS
    },
    failure=Refusal(
        meaning="Something failed that must not; the server's log has the details under the trace id.",
        example=msgspec.to_builtins(wire.unexpected_failure(_TRACE)),
    ),
    problem=shapes.Failure,
    problem_media=JSON.decode(),
    security=None,
    tells_permissions=False,
)


class TaskQueue:
    """The dialect of one server."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tasks = Tasks(options)
        self.operations = (
            *self._tasks.routes(),
            *Repository(options, self._tasks).routes(),
        )
        """What the document shows."""
        self.routes = (*self.operations, self._document_route())
        self._document: bytes | None = None

    def doors(self, house: House) -> dict[str, Door]:
        """One door, at each of its addresses."""
        house.engine.callbacks.bodies[DIALECT] = self._tasks.callback_body(house.engine)
        return dict.fromkeys(ADDRESSES, Door(house, PREFIX, self.routes, form=self.problem_form))

    def problem_form(self, error: RunyardError | None, trace: str, scope: Scope) -> Response:
        """Problems as the dialect shows them."""
        if error is None:
            failure, headers = wire.unexpected_failure(trace), []
        else:
            failure, headers = wire.failure_of(error), wire.failure_headers(error)
        status = self._options.failure_status(failure.status)
        return Response(ENCODER.encode(failure), status=status, headers=headers)

    def openapi_document(self) -> bytes:
        """The OpenAPI document, JSON."""
        if self._document is None:
            described: Json = document(_ABOUT, PREFIX, self.operations)
            self._document = ENCODER.encode(described)
        return self._document

    async def describe(self, request: Request) -> Response:
        """Describe this API: the OpenAPI 3.1 document that you are reading."""
        return Response(self.openapi_document())

    def _document_route(self) -> Route:
        return Route(
            method="GET",
            path=DOCUMENT,
            operation="getTaskQueueDocument",
            permission=Permission.PUBLIC,
            endpoint=self.describe,
            tag=tasks.TAG,
        )


REFERENCE = Reference(
    name="elma",
    title="Task queue",
    caption="Queue tasks for bots from another system. Compatible with ELMA RPA's task queue API.",
    document=f"{PREFIX}{DOCUMENT}",
)
