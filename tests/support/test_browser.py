"""What a browser finds wrong with a page is heard by the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.support import browser as browsers
from tests.support.browser import NoBrowser, find_browser, visiting

STRICT = "default-src 'self'"


@asynccontextmanager
async def serving(html: str, policy: str) -> AsyncIterator[str]:
    """A server that answers this page and nothing else."""
    body = html.encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n"
        f"content-security-policy: {policy}\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


async def complaints_about(browser: Browser, html: str, policy: str = STRICT) -> list[str]:
    """What is found wrong with a page."""
    async with (
        serving(html, policy) as home,
        visiting(browser, home) as (page, complaints),
    ):
        await page.goto("/")
        await page.wait_for_load_state("networkidle")
        found = complaints.found()
        complaints.expect(".")
    return found


async def visit(browser: Browser, html: str) -> None:
    """Look at a page and leave again."""
    async with serving(html, STRICT) as home, visiting(browser, home) as (page, _):
        await page.goto("/")


async def test_a_good_page_is_not_complained_about(browser: Browser) -> None:
    assert await complaints_about(browser, "<p>Good <a href='/'>page</a>") == []


async def test_a_violated_policy_is_heard(browser: Browser) -> None:
    script = await complaints_about(browser, "<script>document.title = 'x'</script>")
    style = await complaints_about(browser, "<p style='color: red'>")

    assert any(text.startswith("policy: script-src-elem: inline") for text in script)
    assert any(text.startswith("policy: style-src-attr: inline") for text in style)


async def test_an_error_on_the_console_is_heard(browser: Browser) -> None:
    open_policy = "script-src 'unsafe-inline'"

    logged = await complaints_about(browser, "<script>console.error('oh')</script>", open_policy)
    thrown = await complaints_about(browser, "<script>throw Error('ouch')</script>", open_policy)

    assert len(logged) == 1
    assert logged[0].startswith("console: oh (http://127.0.0.1:")
    assert thrown == ["script: ouch"]


async def test_a_request_to_another_host_is_heard(browser: Browser) -> None:
    found = await complaints_about(
        browser, "<img src='http://elsewhere.example/x.png'>", "img-src *"
    )

    assert "foreign host: http://elsewhere.example/x.png" in found


async def test_a_visit_fails_when_something_was_wrong(browser: Browser) -> None:
    with pytest.raises(AssertionError, match="inline"):
        await visit(browser, "<p style='color: red'>")


async def test_visits_know_nothing_of_each_other(browser: Browser) -> None:
    async with serving("<p>", STRICT) as home:
        async with visiting(browser, home) as (page, _):
            await page.goto("/")
            await page.evaluate("localStorage.seen = document.cookie = 'seen=1'")
        async with visiting(browser, home) as (page, _):
            await page.goto("/")
            assert await page.evaluate("[localStorage.seen, document.cookie]") == [None, ""]


def test_a_machine_without_a_browser_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoBrowser, match="none of chromium"):
        find_browser()


def test_a_machine_that_may_not_install_says_what_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    browsers.main()

    assert "The tests in one will be skipped" in capsys.readouterr().out
