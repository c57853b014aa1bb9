"""What makes a door one dialect's: how it lets callers in, and the form that its problems take."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from runyard.engine.clock import SystemClock
from runyard.engine.engine import Engine, EngineSettings
from runyard.model.errors import CompanyNotFound, RunyardError, Unauthenticated
from runyard.model.tokens import Permission, Role, TokenKind
from runyard.stores.sqlite.store import open_sqlite
from runyard.web.admission import ByToken
from runyard.web.asgi import Scope
from runyard.web.door import Door
from runyard.web.house import House
from runyard.web.problems import code_of
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route


class Note(msgspec.Struct):
    """What a caller sends."""

    key: str
    text: str


class Echo(msgspec.Struct):
    """What it gets."""

    text: str
    company: str


async def key_in_body(request: Request) -> str:
    return (await request.json(Note)).key


def slug_in_header(route: Route, request: Request) -> str | None:
    slug = request.headers.get(b"x-company")
    return None if slug is None else slug.decode("latin-1")


def plain_form(error: RunyardError | None, trace: str, scope: Scope) -> Response:
    if error is None:
        return Response(f"failed:{trace}".encode(), status=500, content_type=b"text/plain")
    if isinstance(error, Unauthenticated):
        return Response(status=303, headers=[(b"location", b"/login?to=" + scope["raw_path"])])
    status = 404 if isinstance(error, CompanyNotFound) else 418
    return Response(code_of(type(error)).encode(), status=status, content_type=b"text/plain")


async def echo(request: Request) -> Echo:
    """Say it again."""
    note = await request.json(Note)
    if note.text == "break":
        raise ZeroDivisionError
    return Echo(text=note.text, company=request.company.slug)


ROUTES = (
    Route(
        method="POST",
        path="/echo",
        permission=Permission.OPERATE,
        endpoint=echo,
        tag="notes",
        body=Note,
        answer=Echo,
    ),
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_sqlite(tmp_path)
    async with Engine(store, SystemClock(), EngineSettings(server="one")) as engine:
        await engine.companies.create("acme")
        await engine.companies.create("globex")
        yield House(engine=engine, public_url="http://here", life="1")
    await store.close()


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    admission = ByToken(TokenKind.NATIVE, key_in_body, slug_in_header)
    door = Door(house, "/odd", ROUTES, admission, plain_form)
    transport = httpx.ASGITransport(app=door)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


async def key_of(
    house: House, role: Role = Role.OPERATOR, kind: TokenKind = TokenKind.NATIVE
) -> str:
    company = await house.engine.companies.load("acme")
    return (await house.engine.tokens.create(kind, company, role=role)).secret


async def test_secret_and_company_stand_where_the_door_looks_for_them(
    house: House, client: httpx.AsyncClient
) -> None:
    note = {"key": await key_of(house), "text": "hello"}

    answer = await client.post("/odd/echo", json=note, headers={"x-company": "acme"})

    assert answer.json() == {"text": "hello", "company": "acme"}


async def test_a_door_of_its_own_guards_as_well_as_any_other(
    house: House, client: httpx.AsyncClient
) -> None:
    async def refusal(key: str, company: str = "acme") -> tuple[int, str]:
        answer = await client.post(
            "/odd/echo", json={"key": key, "text": "x"}, headers={"x-company": company}
        )
        return answer.status_code, answer.text

    good = await key_of(house)
    assert await refusal(good, "globex") == (404, "company_not_found")
    assert await refusal(good, "nobody") == (404, "company_not_found")
    assert await refusal(await key_of(house, Role.VIEWER)) == (418, "forbidden")
    assert (await refusal(await key_of(house, kind=TokenKind.WORKER)))[0] == 303
    assert (await refusal("nonsense"))[0] == 303


async def test_every_problem_takes_the_form_of_the_door(
    house: House, client: httpx.AsyncClient
) -> None:
    elsewhere = await client.get("/odd/nothing")
    method = await client.get("/odd/echo")
    unread = await client.post("/odd/echo", content=b"text=x")
    login = await client.post("/odd/echo", json={"key": "", "text": ""})
    note = {"key": await key_of(house), "text": "break"}
    broken = await client.post("/odd/echo", json=note, headers={"x-company": "acme"})

    assert (elsewhere.status_code, elsewhere.text) == (418, "route_not_found")
    assert (method.status_code, method.text) == (418, "method_not_allowed")
    assert (unread.status_code, unread.text) == (418, "media_type_refused")
    assert login.headers["location"] == "/login?to=/odd/echo"
    assert broken.status_code == 500
    assert broken.text.startswith("failed:")
