"""A real browser for tests: Debian's Chromium, driven by playwright, one for each test process.

`python -m tests.support.browser` (a step of `make test`) installs it where it is missing and may be
installed; where there is none, the tests in a browser are skipped, and pytest's header says so.

`visiting` opens a page like somebody who was never here before and, when the block ends, holds
against the page whatever the browser complained about: a violated content security policy, an error
on the console, a request to any other host than the server.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# No screen, no sandbox (root has none), and nothing that Chromium does on its own account.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

PATIENCE = 30_000
"""How long a page may take for anything, in milliseconds: the machine may be busy."""

expect.set_options(timeout=PATIENCE)

_REPORTING = """
addEventListener("securitypolicyviolation", (event) =>
    violated(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


class NoBrowser(Exception):
    """This machine has no browser that tests could drive."""


def find_browser() -> Path:
    """The browser's program; raises NoBrowser."""
    for program in PROGRAMS:
        found = shutil.which(program)
        if found:
            return Path(found)
    raise NoBrowser(f"none of {', '.join(PROGRAMS)} is installed")


def version_of(program: Path) -> str:
    """What the browser says that it is."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"^\D+ [\d.]+", said.stdout)
    return found.group() if found else "of an unknown version"


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A browser with an empty profile, closed at the end of the block; raises NoBrowser."""
    program = find_browser()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


class Complaints:
    """What the browser found wrong with the pages of one visit."""

    def __init__(self, home: str) -> None:
        self._home = _origin(home)
        self._heard: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """A complaint like this is part of the test, such as a request that is refused."""
        self._expected.append(re.compile(pattern))

    def found(self) -> list[str]:
        """All that were not expected."""
        return [
            heard
            for heard in self._heard
            if not any(pattern.search(heard) for pattern in self._expected)
        ]

    def listen(self, page: Page) -> None:
        """Hear what is said about this page from now on."""
        page.on("console", self._console)
        page.on("pageerror", self._error)

    async def listen_to_all(self, context: BrowserContext) -> None:
        """Hear what is said about every page of this context."""
        context.on("request", self._request)
        context.on("page", self.listen)
        await context.expose_function("violated", self._violation)
        await context.add_init_script(_REPORTING)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._heard.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _error(self, error: Error) -> None:
        self._heard.append(f"script: {error}")

    def _violation(self, text: str) -> None:
        self._heard.append(f"policy: {text}")

    def _request(self, request: Request) -> None:
        leaves = urlsplit(request.url).scheme in {"http", "https", "ws", "wss"}
        if leaves and _origin(request.url) != self._home:
            self._heard.append(f"foreign host: {request.url}")


@asynccontextmanager
async def visiting(
    browser: Browser, home: str, **options: object
) -> AsyncIterator[tuple[Page, Complaints]]:
    """A page of somebody new, and what the browser complains about.

    `home` is the server's address; paths are opened below it (`page.goto("/console")`). Options are
    those of a browser context, such as color_scheme="dark". At the end there may be no complaint
    that was not expected.
    """
    chosen: dict[str, object] = {"base_url": home, "ignore_https_errors": True, **options}
    context = await browser.new_context(**chosen)  # type: ignore[arg-type]
    try:
        context.set_default_timeout(PATIENCE)
        complaints = Complaints(home)
        await complaints.listen_to_all(context)
        yield await context.new_page(), complaints
        await _all_heard(context)
        found = complaints.found()
        assert not found, "\n".join(found)
    finally:
        await context.close()


async def _all_heard(context: BrowserContext) -> None:
    """What the pages said up to now has arrived: their answers come after it on the same way."""
    for page in context.pages:
        with contextlib.suppress(Error):  # a page that is just being left
            await page.evaluate("0")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.replace("ws", "http"), parts.netloc


# ---------------------------------------------------------------- installing


def main() -> None:
    """Install the browser where it is missing and this machine lets us; say what was done."""
    try:
        find_browser()
    except NoBrowser as missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            print(f"No browser: {missing}. The tests in one will be skipped.")  # noqa: T201
        elif not installed_from_debian():
            print("No browser: it could not be installed.", file=sys.stderr)  # noqa: T201


def installed_from_debian() -> bool:
    """Whether Debian's packages had the browser, and it is installed now."""
    print("Installing Chromium for the tests in a browser ...", flush=True)  # noqa: T201
    commands = (
        ("apt-get", "update", "-qq"),
        ("apt-get", "install", "-qq", "--yes", "--no-install-recommends", "chromium"),
    )
    ours = dict(os.environ)  # noqa: TID251 - what a command inherits
    environment = {**ours, "DEBIAN_FRONTEND": "noninteractive"}
    return all(
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode
        == 0
        for command in commands
    )


if __name__ == "__main__":
    main()
