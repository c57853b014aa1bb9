"""What every test may ask for: databases, fast folders, and how long to torture."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from playwright.async_api import Browser

from tests.support import browser as browsers
from tests.support.postgres import (
    NoPostgres,
    PostgresServer,
    find_binaries,
    private_postgres,
    version_of,
)
from tests.support.postgres_keeper import shared_memory_folder

# The short form tries the same examples every time: a test run must not fail by chance.
settings.register_profile("quick", deadline=None, max_examples=30, derandomize=True)
settings.register_profile(
    "torture",
    deadline=None,
    max_examples=2000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torture",
        action="store_true",
        help="the long form of fault and state machine tests (make long-tests)",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("torture" if config.getoption("--torture") else "quick")


def pytest_report_header() -> list[str]:
    return [_postgres_header(), _browser_header()]


def _postgres_header() -> str:
    try:
        binaries = find_binaries()
    except NoPostgres as problem:
        return f"PostgreSQL: NONE, EVERY TEST ON IT IS SKIPPED ({problem})"
    return f"PostgreSQL: {version_of(binaries)} from {binaries}"


def _browser_header() -> str:
    try:
        program = browsers.find_browser()
    except browsers.NoBrowser as problem:
        return f"Browser: NONE, EVERY TEST IN ONE IS SKIPPED ({problem})"
    return f"Browser: {browsers.version_of(program)} from {program}"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    # A browser belongs to the loop that opened it: its tests all run on the loop of the session.
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def torture(request: pytest.FixtureRequest) -> bool:
    """Whether the long form of a test is wanted."""
    return bool(request.config.getoption("--torture"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One private PostgreSQL server per test process, started when first asked for."""
    try:
        with private_postgres() as server:
            yield server
    except NoPostgres as problem:
        pytest.skip(str(problem))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser per test process, started when first asked for.

    Tests with it run on the loop of the session: what else they need that belongs to a loop, such
    as a server, they open themselves, or get from a fixture with loop_scope="session".
    """
    try:
        async with browsers.open_browser() as opened:
            yield opened
    except browsers.NoBrowser as problem:
        pytest.skip(str(problem))


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own."""
    dsn = postgres_server.create_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder of the test's own in shared memory: the place for SQLite files."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-test-", dir=shared_memory_folder()))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
