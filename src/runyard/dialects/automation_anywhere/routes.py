"""The whole dialect: its operations, their document, its doors."""

from functools import cache

import msgspec

from runyard import __version__
from runyard.dialects.automation_anywhere import (
    activity,
    allocations,
    auditing,
    authentication,
    deploys,
    directory,
    repository,
    wire,
)
from runyard.dialects.automation_anywhere.admission import TOKEN_HEADER, TicketAdmission
from runyard.dialects.automation_anywhere.examples import EXAMPLES
from runyard.dialects.automation_anywhere.execution import Executor
from runyard.dialects.automation_anywhere.refusals import problem_form
from runyard.model import errors
from runyard.model.errors import FieldProblem, RunyardError
from runyard.model.tokens import Permission
from runyard.web.door import Door
from runyard.web.errors import MediaTypeRefused
from runyard.web.house import House
from runyard.web.openapi import Refusal, SecurityScheme, Title, document
from runyard.web.references import Reference
from runyard.web.requests import SEND_JSON, Request
from runyard.web.responses import ENCODER, JSON, Response
from runyard.web.routing import Route
from runyard.web.schemas import Json

ADDRESSES = (
    "/v1/authentication",
    "/v1/devices",
    "/v1/filecontent",
    "/v1/audit",
    "/v2",
    "/v3",
    "/v4",
    "/orchestrator/v1",
    "/hotbot",
)
"""Where its operations stand; whatever else is asked for below them is answered in its form too."""
DOCUMENT = "/v2/openapi.json"

REFERENCE = Reference(
    name="automation-anywhere",
    title="API Task",
    caption="Execute tasks in real time. Compatible with Automation Anywhere's API Task endpoints.",
    document=DOCUMENT,
)

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_BAD_LIMIT = FieldProblem(field="concurrencyLimit", seen="0", allowed="1 to 256")

_REFUSALS: tuple[tuple[int, str, RunyardError], ...] = (
    (
        400,
        "The request is wrong; `details` names what, and what is allowed.",
        errors.InputRefused([_BAD_LIMIT]),
    ),
    (401, "There is no token, or it is not valid any more.", wire.TokenMissing()),
    (403, "The token is for another task, or its user may not do this.", wire.TokenMismatch()),
    (404, "There is no such thing, or the task is not allocated.", wire.NotAllocated()),
    (
        409,
        "It is not in a state that allows this.",
        errors.TaskNotRunnable("task 'Zip code' is set not runnable"),
    ),
    (413, "The body is too large.", errors.TooLarge("the body may have at most 1,048,576 bytes")),
    (415, "The body is not JSON.", MediaTypeRefused(SEND_JSON)),
    (
        429,
        "As many calls execute as the allocation allows, or there were too many failed logins.",
        errors.LimitReached("2 calls execute, as many as it allows"),
    ),
    (
        503,
        "The task's children are being made ready, or the server is stopping.",
        errors.CallsPaused("its children are being made ready; try again in a moment"),
    ),
)
"""Every error status, what it means, and an example."""

_ABOUT = Title(
    title="API Task",
    version=__version__,
    description=(
        "Executes tasks in real time. Compatible with Automation Anywhere's API Task endpoints as "
        "they are publicly described: log in, allocate a task, get its execution URL and token, "
        f"execute. Send the token of a login as `{TOKEN_HEADER}`; `Authorization: Bearer` is "
        "taken as well, never both. Errors have `code`, `details` and `message`."
    ),
    tags={
        authentication.TAG: "Tokens: got, refreshed, looked at, ended.",
        allocations.TAG: "Tasks that are kept warm and executed in real time.",
        deploys.TAG: "Tasks executed on demand: durable runs, queued when it is answered.",
        activity.TAG: "Executions, on demand and in real time.",
        repository.TAG: "Tasks as files, and what they take and return.",
        auditing.TAG: "Who has changed what, or logged in.",
        directory.TAG: "Workers, and users in whose name tasks run.",
    },
    params={
        "fileId": "Id of the task.",
        "folder": "Id of the folder; 2 is Bots.",
        "workspace": "public or private.",
        "execution": "Id of the execution, or of its deployment.",
        "userId": "Id of the user.",
        "botId": "Id of the task, as the access details have it.",
        "tenant": "UUID of the company, as the access details have it.",
    },
    examples=EXAMPLES,
    refusals={
        status: Refusal(meaning=meaning, example=msgspec.to_builtins(wire.problem_from(error)))
        for status, meaning, error in _REFUSALS
    },
    failure=Refusal(
        meaning="The task failed or timed out, or something failed that must not.",
        example=msgspec.to_builtins(wire.unexpected_problem(_TRACE)),
    ),
    problem=wire.Problem,
    problem_media=JSON.decode(),
    security=SecurityScheme(
        name=TOKEN_HEADER,
        described={
            "type": "apiKey",
            "in": "header",
            "name": TOKEN_HEADER,
            "description": "The token of a login; to execute, the token of the access details.",
        },
    ),
)

EXECUTE = Executor().route()
OPERATIONS: tuple[Route, ...] = (
    *authentication.ROUTES,
    *allocations.ROUTES,
    EXECUTE,
    *deploys.ROUTES,
    *activity.ROUTES,
    *repository.ROUTES,
    *directory.ROUTES,
    *auditing.ROUTES,
)
"""What the document shows."""


async def describe(request: Request) -> Response:
    """Describe this API: the OpenAPI 3.1 document that you are reading."""
    return Response(openapi_document())


ROUTES: tuple[Route, ...] = (
    *OPERATIONS,
    Route(
        method="GET",
        path=DOCUMENT,
        operation="getApiTaskDocument",
        permission=Permission.PUBLIC,
        endpoint=describe,
        tag="Extensions",
    ),
)


@cache
def openapi_document() -> bytes:
    """The document of this API, JSON."""
    described: Json = document(_ABOUT, "", OPERATIONS)
    return ENCODER.encode(described)


def routes_of_a_door() -> tuple[Route, ...]:
    """All routes, with an executor that no other server of this process has: it remembers the variables
    of versions by their ids, which are the same in several databases.
    """
    return tuple(Executor().route() if route is EXECUTE else route for route in ROUTES)


def automation_anywhere_doors(house: House) -> dict[str, Door]:
    """One door, at each of its addresses."""
    house.engine.callbacks.bodies[deploys.DIALECT] = deploys.callback_body(house)
    door = Door(house, "", routes_of_a_door(), TicketAdmission(), problem_form)
    return dict.fromkeys(ADDRESSES, door)
