"""Secrets in what runs say are made unreadable, those too that look like nothing in particular."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runyard.engine.secrets import Secrets
from runyard.engine.tokens import new_secret
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome, RunError
from runyard.model.tokens import TokenKind
from tests.support.pair import Pair, opened_pair
from tests.support.yard import Yard

OTHER = "0190b7b0-7a3c-7000-8000-00000000abcd"


def secrets_of(yard: Yard) -> Secrets:
    return yard.engine._parts.secrets


async def knows(yard: Yard, uuid: str) -> None:
    """Return once it is made unreadable."""
    async with asyncio.timeout(10):
        while secrets_of(yard).text(uuid) == uuid:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)  # noqa: TID251 - the database needs real time


def lines(yard: Yard, *texts: str) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(number, yard.clock.now(), LogLevel.INFO, text, attempt=1)
        for number, text in enumerate(texts, 1)
    )


async def test_the_uuid_of_a_system_is_not_kept_in_a_log_or_an_error(yard: Yard) -> None:
    """A task that calls in as a system told its UUID to whoever may read the run."""
    created = await yard.engine.systems.create(yard.company, "Finance")
    await knows(yard, created.uuid)
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run()
    await worker.has_runs(1)
    claimed = yard.begin(worker)
    said = lines(yard, f"as {created.uuid.upper()}, for {OTHER}", "nothing")

    yard.engine.logged(worker.session, claimed.run_id, claimed.token, said, 0)
    error = RunError(kind="ValueError", message=f"not {created.uuid}", traceback=created.uuid)
    await yard.end(worker, claimed, Outcome.RAISED, error=error)

    page = await yard.engine.logs.read(yard.company.id, run.id, LogLevel.TRACE, 0, 10)
    hidden = f"***{created.uuid[-4:]}"
    assert [line.text for line in page.lines] == [f"as {hidden}, for {OTHER}", "nothing"]
    shown = await yard.store.runs.values(yard.company.id, run.id)
    assert (shown.error.message, shown.error.traceback) == (f"not {hidden}", hidden)


async def test_a_new_uuid_is_known_and_the_one_before_is_none_any_more(yard: Yard) -> None:
    created = await yard.engine.systems.create(yard.company, "Finance")
    await knows(yard, created.uuid)

    renewed = await yard.engine.systems.renew(created.system)
    await knows(yard, renewed.uuid)

    assert secrets_of(yard).text(created.uuid) == created.uuid


async def test_lines_without_secrets_are_the_very_same(yard: Yard) -> None:
    created = await yard.engine.systems.create(yard.company, "Finance")
    await knows(yard, created.uuid)
    said = lines(yard, "nothing", OTHER)

    assert secrets_of(yard).lines(said) is said


async def test_a_line_keeps_everything_but_its_secret(yard: Yard) -> None:
    said = lines(yard, "before", f"token {new_secret(TokenKind.NATIVE)} is void")

    first, second = secrets_of(yard).lines(said)

    assert first == said[0]
    assert (second.number, second.at, second.level) == (2, said[1].at, LogLevel.INFO)
    assert second.text == "token ryd_native_*** is void"


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def test_the_uuid_of_a_system_is_known_at_every_server(pair: Pair) -> None:
    created = await pair.here.engine.systems.create(pair.here.company, "Finance")

    await knows(pair.there, created.uuid)
