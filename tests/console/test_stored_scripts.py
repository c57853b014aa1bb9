"""Whatever somebody stored as a name stays text on every page that shows it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from runyard.console.reference import SECURITY
from runyard.engine.audit import Deed
from runyard.engine.sessions import WorkerHello
from runyard.model.errors import SystemNotAllowed, WorkerNotAllowed
from runyard.model.tokens import Role, TokenKind
from runyard.model.users import Grant
from runyard.server.app import Server
from runyard.web.pages import STRICT
from tests.support.browser import visiting
from tests.support.server import HandWorker, running_server
from tests.support.walking import sign_in, walk

HOSTILE = (
    "<script>window.pwned=1</script>",
    "</title></textarea><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "' autofocus onfocus=window.pwned=1 x='",
    '" autofocus onfocus="window.pwned=1" x="',
    "javascript:window.pwned=1",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<base href=//elsewhere.example/>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.example/'>",
    "<link rel=stylesheet href=//elsewhere.example/x.css>",
    "<style>body{background:url(//elsewhere.example/x)}</style>",
    "<form action=//elsewhere.example/><button>Sign in</button></form>",
    "<b hx-get=/console/account hx-trigger=load>x</b>",
    '<b hx-on::load="window.pwned=1" hx-on:click="window.pwned=1">x</b>',
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    "<!-- --!><script>window.pwned=1</script>",
    "x</script><script>window.pwned=1</script>",
    "</main><marquee><b><plaintext>",
)
"""Texts that become something else where one page forgets to escape one of them."""

LONGEST_NAME = 200


def packed(texts: Sequence[str]) -> list[str]:
    """The texts one after another, in as few names as hold them all."""
    names = [""]
    for text in texts:
        if len(names[-1]) + len(text) > LONGEST_NAME:
            names.append("")
        names[-1] += text
    return names


NAMES = packed(HOSTILE)

INJECTED = (
    "iframe, base, style, marquee, plaintext, b, form[action*=elsewhere], link[href*=elsewhere], "
    "[onerror], [onload], [onfocus], meta[http-equiv=refresh], a[href^='javascript:'], "
    "script:not([src^='/console/assets/'])"
)


async def fill(server: Server) -> None:
    """Put the hostile texts wherever somebody can name something."""
    engine = server.engine
    for number, text in enumerate(NAMES):
        company = await engine.companies.create(f"acme-{number}", name=text)
        await engine.users.create(
            f"user{number}@example.com",
            name=text,
            grants=(Grant(company_id=company.id, role=Role.OPERATOR),),
        )
        await engine.tokens.create(TokenKind.NATIVE, company, role=Role.VIEWER, name=text)
        await engine.remote_control.allow(company)
        for where in (company.id, None):
            engine.audit.note(
                Deed(
                    action=text,
                    company=where,
                    said_to_be="" if where else text,
                    subject=text,
                    refusal=text,
                    source=text,
                    address=text,
                )
            )
        system = await engine.systems.create(company, text, description=text)
        with contextlib.suppress(SystemNotAllowed):
            await engine.systems.admit(system.uuid, text)
        hello = WorkerHello(
            name=text,
            version=text,
            host=text,
            os=text,
            address=text,
            isolation=text,
            labels=(text,),
            slots=1,
            allowed=number % 2 == 0,
        )
        with contextlib.suppress(WorkerNotAllowed):  # it is listed all the same
            await engine.connect(HandWorker(engine), hello)


@pytest_asyncio.fixture(loop_scope="session")
async def hostile_server(memory_path: Path) -> AsyncIterator[Server]:
    """A server in which every name is hostile."""
    async with running_server(memory_path) as server:
        await fill(server)
        yield server


async def test_hostile_names_stay_text_on_every_page(
    browser: Browser, hostile_server: Server
) -> None:
    shown: set[str] = set()
    seen: set[str] = set()
    async with visiting(browser, hostile_server.url) as (page, _):
        await sign_in(page, hostile_server, name=NAMES[0], browser=NAMES[1])
        async for path, response in walk(page):
            seen.add(path)
            assert await page.evaluate("window.pwned") is None, path
            drawn_by_elements = path.startswith(("/console/reference/", "/remote-api/"))
            policy = (await response.all_headers())["content-security-policy"].encode()
            assert policy == (SECURITY if drawn_by_elements else STRICT), path
            if not drawn_by_elements:
                assert await page.locator(INJECTED).count() == 0, path
            text = await page.evaluate(ALL_TEXT)
            shown |= {name for name in NAMES if name in text}

    assert shown == set(NAMES)
    assert {"/console/workers", "/console/users", "/console/account"} <= seen
    assert len(seen) > 2 * len(NAMES)


ALL_TEXT = """
[document.body.textContent, ...[...document.querySelectorAll("input")].map((i) => i.value)].join(" ")
"""
