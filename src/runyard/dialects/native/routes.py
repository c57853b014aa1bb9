"""The whole native API: its routes, its document, its door."""

from functools import cache

from runyard import __version__
from runyard.dialects.native import (
    auditing,
    callbacks,
    calls,
    companies,
    credentials,
    files,
    installation,
    runs,
    schedules,
    systems,
    tasks,
    users,
    workers,
)
from runyard.dialects.native.examples import EXAMPLES, FAILURE, REFUSALS
from runyard.engine.callbacks import NATIVE
from runyard.model.tokens import Permission
from runyard.web.door import Door
from runyard.web.house import House
from runyard.web.openapi import Title, document
from runyard.web.references import Reference
from runyard.web.requests import Request
from runyard.web.responses import ENCODER, Response
from runyard.web.routing import Route

PREFIX = "/runyard/v1"

REFERENCE = Reference(
    name="native",
    title="Runyard API",
    caption="Everything Runyard can do. Send a token as Authorization: Bearer.",
    document=f"{PREFIX}/openapi.json",
)

_ABOUT = Title(
    title="Runyard API",
    version=__version__,
    description="""\
Runs tasks: typed Python functions that are versioned, queued and executed on workers.

- **Access.** Send a token as `Authorization: Bearer <token>`. What belongs to other companies does not exist for a
  company's token.
- **Bodies** are JSON, sent as `application/json`. Unknown fields are refused. Instants are RFC 3339
  (`2026-03-01T08:00:00Z`), durations ISO 8601 (`PT30S`, `P30D`).
- **Lists** come in pages: pass `next` as `cursor` to get the following one.
- **Starting once.** A start with an `Idempotency-Key` can be sent again after a lost answer.
- **Errors** are problem documents whose `code` is a word for programs; `problems` names the fields at fault.
""",
    tags={
        "companies": "Tenants; everything belongs to exactly one.",
        "tokens": "Credentials that programs present.",
        "users": "People who sign in to the console, and what each may do.",
        "orchestrator": "A company's dispatch switch.",
        "tasks": "Registered code and the bundles it comes from.",
        "runs": "Durable executions of tasks.",
        "calls": "Tasks that are kept warm, executed at once for whoever waits.",
        "events": "What happens, as it happens.",
        "files": "Files that go into runs and come out of them.",
        "callbacks": "Requests to other servers when runs have ended, signed and repeated.",
        "schedules": "Plans that start runs by themselves.",
        "workers": "Processes that execute runs, and who of them may.",
        "audit": "Who has changed what only few may change, or signed in.",
        "systems": "Programs of others that call in by a UUID, and which of them may.",
        "installation": "Health, and this document.",
    },
    params={
        "company": "Slug of the company.",
        "task": "Id, uuid, public id or name of the task, percent-encoded.",
        "run": "Id or public id of the run.",
        "token": "Id of the token.",
        "worker": "Id or name of the worker, percent-encoded.",
        "file": "Id of the file.",
        "user": "Id or email of the user, percent-encoded.",
        "key": "Id of the API key.",
        "callback": "Id or public id of the callback.",
        "system": "Id or name of the system, percent-encoded.",
        "schedule": "Id or name of the schedule, percent-encoded.",
    },
    examples=EXAMPLES,
    refusals=REFUSALS,
    failure=FAILURE,
)


async def describe(request: Request) -> Response:
    """Describe this API: the OpenAPI 3.1 document that you are reading."""
    return Response(openapi_document())


ROUTES: tuple[Route, ...] = (
    *companies.ROUTES,
    *users.ROUTES,
    *credentials.ROUTES,
    *tasks.ROUTES,
    *runs.ROUTES,
    *calls.ROUTES,
    *files.ROUTES,
    *schedules.ROUTES,
    *workers.ROUTES,
    *callbacks.ROUTES,
    *systems.ROUTES,
    *auditing.ROUTES,
    *installation.ROUTES,
    Route(
        method="GET",
        path="/openapi.json",
        permission=Permission.PUBLIC,
        endpoint=describe,
        tag="installation",
        title="Describe this API",
    ),
)


@cache
def openapi_document() -> bytes:
    """The document of this API, JSON."""
    return ENCODER.encode(document(_ABOUT, PREFIX, ROUTES))


def native_door(house: House) -> Door:
    """The door of the native API. Callbacks in its form speak from now on."""
    house.engine.callbacks.bodies[NATIVE] = callbacks.callback_body(house.engine)
    return Door(house, PREFIX, ROUTES)
