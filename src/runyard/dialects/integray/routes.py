"""The whole Remote API: its operations, their document, their door."""

import secrets
from pathlib import Path

import msgspec
from msgspec.structs import replace

from runyard import __version__
from runyard.dialects.integray import shapes, wire
from runyard.dialects.integray.admission import RemoteControlAdmission
from runyard.dialects.integray.agents import Agents
from runyard.dialects.integray.dialect import Dialect, Options
from runyard.dialects.integray.examples import EXAMPLES
from runyard.dialects.integray.metrics import Metrics
from runyard.dialects.integray.orchestrator import Orchestrator
from runyard.dialects.integray.profile import SLUG, Profile, read_profile
from runyard.dialects.integray.taskruns import TaskRuns
from runyard.dialects.integray.tasks import Tasks
from runyard.model import errors
from runyard.model.errors import RunyardError
from runyard.model.tokens import Permission
from runyard.web.asgi import Scope
from runyard.web.door import Door
from runyard.web.errors import MediaTypeRefused
from runyard.web.house import House
from runyard.web.openapi import Refusal, SecurityScheme, Title, document
from runyard.web.problems import headers_of
from runyard.web.references import Reference
from runyard.web.requests import SEND_JSON, Request, refused
from runyard.web.responses import ENCODER, PROBLEM_JSON, Response
from runyard.web.routing import Route
from runyard.web.schemas import Json

_ID: Json = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

_REFUSALS: tuple[tuple[int, str, RunyardError], ...] = (
    (
        400,
        "The request is wrong; `detail` names what, and what is allowed.",
        refused("isRunnable", '"true"', "true or false"),
    ),
    (
        401,
        "The token does not open this company, or there is no such company.",
        errors.Unauthenticated("the token is not valid for this company"),
    ),
    (
        403,
        "Remote control of the company is switched off, or the token may only read.",
        errors.RemoteControlDisabled(),
    ),
    (
        404,
        "There is no such task or task run in this company.",
        errors.TaskNotFound("there is no task 12"),
    ),
    (
        409,
        "The task or task run is not in a state that allows this.",
        errors.TaskNotRunnable("task 'Zip code' is set not runnable"),
    ),
    (413, "The body is too large.", errors.TooLarge("the body may have at most 1,048,576 bytes")),
    (415, "The body is not JSON.", MediaTypeRefused(SEND_JSON)),
    (
        429,
        "The company has as many scheduled task runs as it may have; try again later.",
        errors.QueueFull("company 'acme' has 1000000 queued runs; allowed: 1000000"),
    ),
    (
        503,
        "Nothing can be written at the moment; try again later.",
        errors.StorageUnavailable("the disk is full"),
    ),
)
"""Every error status that the dialect answers with, what it means, and an example."""

_ABOUT = Title(
    title="Remote API",
    version=__version__,
    description=(
        "Steers a company's orchestrator, tasks and task runs from outside. Compatible with the "
        "Integray Remote API as it is publicly described. `Authorization` takes the company's remote "
        "control token, bare or after the word Bearer; `CompanySlug` says which company. It may stand "
        "in the address, as here, or, with the address shortened by it, in a header or the query. "
        "Instants are RFC 3339 in UTC. Errors are problem documents whose `code` is a word for "
        "programs."
    ),
    tags={
        "Agent": "The programs that execute task runs.",
        "Orchestrator": "The switch that lets the company's task runs be picked up.",
        "Task": "What can be executed.",
        "Task run": "Executions of tasks.",
        "Extensions": "What Runyard offers beyond the described API.",
    },
    params={
        SLUG: {
            "description": "Slug of the company.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 63},
        },
        "taskId": {"description": "Id of the task.", "schema": _ID},
        "taskRunId": {"description": "Id of the task run.", "schema": _ID},
    },
    examples=EXAMPLES,
    refusals={
        status: Refusal(
            meaning=meaning, example=msgspec.to_builtins(wire.problem_shape(error, _TRACE))
        )
        for status, meaning, error in _REFUSALS
    },
    failure=Refusal(
        meaning="Something failed that must not; the server's log has the details under the trace id.",
        example=msgspec.to_builtins(wire.unexpected_shape(_TRACE)),
    ),
    problem=shapes.Problem,
    security=SecurityScheme(
        name="Authorization",
        described={
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": (
                "The company's remote control token: Company details, Remote control, Allow control "
                "= Token; or `runyard company allow-control SLUG --token`."
            ),
        },
    ),
    tells_permissions=False,
)

ALSO_POST = frozenset({"setOrchestratorStatus", "setTaskRunnability"})
"""Operations that POST does too, unless the profile says how they are done."""


class RemoteApi:
    """The Remote API of one server."""

    def __init__(self, options: Options) -> None:
        dialect = Dialect(options)
        self._profile = options.profile
        self._usual = usual_routes(dialect)
        self.prefix = self._profile.base
        self.operations = self._profile.placed(self._usual)
        """What the document shows."""
        self.routes = (*self.operations, *self._aliases(), self._document_route())
        self._document: bytes | None = None

    def door(self, house: House) -> Door:
        """Its door."""
        admission = RemoteControlAdmission(self._profile, self._usual)
        return Door(house, self.prefix, self.routes, admission, problem_form)

    @property
    def reference(self) -> Reference:
        """What its reference page is made of."""
        return Reference(
            name="integray",
            title="Remote API",
            caption="Steer a company with its remote control token. Compatible with the Integray Remote API.",
            document=f"{self.prefix}/openapi.json",
            address=f"/remote-api/{{{SLUG}}}",
        )

    def openapi_document(self) -> bytes:
        """The OpenAPI document, JSON."""
        if self._document is None:
            self._document = ENCODER.encode(self._described())
        return self._document

    def _described(self) -> Json:
        found = document(_ABOUT, self.prefix, self.operations)
        for usual, placed in zip(self._usual, self.operations, strict=True):
            self._profile.describe_moved(found, usual, placed, _ABOUT.params)
        return self._profile.described(found)

    async def describe(self, request: Request) -> Response:
        """Describe this API: the OpenAPI 3.1 document that you are reading."""
        return Response(self.openapi_document())

    def _document_route(self) -> Route:
        return Route(
            method="GET",
            path="/openapi.json",
            operation="getRemoteApiDocument",
            permission=Permission.PUBLIC,
            endpoint=self.describe,
            tag="Extensions",
        )

    def _aliases(self) -> list[Route]:
        """The same operations with POST, and without the company in the address."""
        found = []
        for route in self.operations:
            ways = [route]
            placement = self._profile.placement(route.operation)
            if route.operation in ALSO_POST and placement.method is None:
                ways.append(replace(route, method="POST"))
            found += ways[1:]
            if placement.path is None:
                found += [replace(way, path=way.path.removeprefix(f"/{{{SLUG}}}")) for way in ways]
        return found


def usual_routes(dialect: Dialect) -> tuple[Route, ...]:
    """All operations where they stand unless a profile says otherwise."""
    return (
        *Agents(dialect).routes(),
        *Orchestrator(dialect).routes(),
        *Tasks(dialect).routes(),
        *TaskRuns(dialect).routes(),
        *Metrics(dialect).routes(),
    )


def profile_from(path: Path | None) -> Profile:
    """The route profile in this file; as usual without one. Raises InputRefused."""
    if path is None:
        return Profile()
    return read_profile(path, usual_routes(Dialect(Options())))


def problem_form(error: RunyardError | None, trace: str, scope: Scope) -> Response:
    """Problems as the Remote API shows them."""
    trace = trace or secrets.token_hex(16)
    problem = wire.unexpected_shape(trace) if error is None else wire.problem_shape(error, trace)
    headers = [] if error is None else headers_of(error)
    return Response(
        ENCODER.encode(problem), status=problem.status, content_type=PROBLEM_JSON, headers=headers
    )
