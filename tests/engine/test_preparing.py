"""Input files by address: fetched before the run is queued, whatever happens meanwhile."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from runyard.engine.fetching import PAUSES, TRIES
from runyard.model.errors import IllegalTransition, InputRefused, StorageUnavailable
from runyard.model.logs import LogLevel
from runyard.model.runs import Run
from runyard.model.states import Cause, RunState
from runyard.model.types import Field, FileValue, ListOf, Record, Text
from runyard.outbound.addresses import Allowances
from runyard.outbound.client import OutboundClient
from runyard.stores.contract.listing import RunFilter
from runyard.stores.contract.preparations import HELD_FOR
from runyard.stores.contract.store import Store
from tests.support.receiver import Exchange, receiving
from tests.support.turned_clock import BEGINNING, TurnedClock
from tests.support.yard import Yard, opened_yard

SCAN = Field(name="scan", parameter="scan", type=FileValue())
SCANS = Field(name="scans", parameter="scans", type=ListOf(FileValue()))
MAIL = Field(
    name="mail",
    parameter="mail",
    type=Record(
        (
            Field(name="subject", parameter="subject", type=Text()),
            Field(name="attachments", parameter="attachments", type=ListOf(FileValue())),
        )
    ),
)
STILL = timedelta()
ODD = timedelta(seconds=17)
TURNING = timedelta(seconds=0.1)
LOOPBACK = Allowances.read(["127.0.0.1"])


@asynccontextmanager
async def a_fetcher(
    store: Store, clock: TurnedClock | None = None, allowed: Allowances = LOOPBACK
) -> AsyncIterator[Yard]:
    async with (
        OutboundClient(allowed) as outbound,
        opened_yard(store, clock, "t", outbound) as yard,
    ):
        yield yard


@pytest.fixture
async def yard(store: Store) -> AsyncIterator[Yard]:
    async with a_fetcher(store) as yard:
        yield yard


async def contents(exchange: Exchange) -> None:
    """A file that says which one it is."""
    await exchange.answer(body=f"this is {exchange.target}".encode(), Content_Type="text/plain")


class Answers:
    """A server whose next answers are these; then the file."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def __call__(self, exchange: Exchange) -> None:
        answer = self.answers.pop(0) if self.answers else ""
        if answer == "break off":
            exchange.writer.close()
        elif answer:
            await exchange.answer(answer)
        else:
            await contents(exchange)


def asking(**values: Any) -> bytes:
    return msgspec.json.encode(values)


def at(url: str, **more: str) -> dict[str, str]:
    return {"url": url, **more}


async def until(yard: Yard, run: Run, state: RunState, turning: timedelta = STILL) -> Run:
    """The run once it is in this state, time passing meanwhile or not."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0)  # noqa: TID251 - reading may not wait for anything
            now = await yard.run(run)
            if now.state is state:
                return now
            yard.clock.advance(turning)


async def input_of(yard: Yard, run: Run) -> Any:
    values = await yard.engine.runs.values(yard.company, run.id)
    return msgspec.json.decode(values.input)


async def lines_of(yard: Yard, run: Run, at_least: LogLevel = LogLevel.INFO) -> list[str]:
    page = await yard.engine.logs.read(yard.company.id, run.id, at_least, 0, 1000)
    assert [line.number for line in page.lines] == sorted({line.number for line in page.lines})
    return [line.text for line in page.lines]


async def has_said(yard: Yard, run: Run, text: str) -> None:
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0)  # noqa: TID251 - reading may not wait for anything
            if any(text in line for line in await lines_of(yard, run)):
                return


async def test_a_file_by_address_is_fetched_before_the_run_is_queued(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        run = await yard.a_run(input=asking(scan=at(f"{receiver.url}/a%20b.txt?uid=1")))
        assert run.state is RunState.PREPARING
        queued = await until(yard, run, RunState.QUEUED)
        assert receiver.arrived[0].target == "/a%20b.txt?uid=1"

    scan = (await input_of(yard, run))["scan"]
    file = await yard.engine.files.load(yard.company.id, scan["file"])
    data = b"".join([part async for part in yard.engine.files.read(file)])
    assert data == b"this is /a%20b.txt?uid=1"
    assert scan["name"] == "a b.txt"
    assert scan["content_type"] == "text/plain"
    assert scan["size"] == len(data)
    assert scan["digest"] == hashlib.sha256(data).hexdigest()
    assert queued.queued_at == BEGINNING
    assert await lines_of(yard, run) == [
        "fetching an input file",
        "scan: fetched a b.txt (24 bytes); 1 of 1",
    ]
    assert await yard.engine.files.of_run(yard.company.id, run.id) == [], "it returned none"


async def test_a_prepared_run_is_executed_like_any_other(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    worker = await yard.a_worker()
    async with receiving(contents) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await worker.has_runs(1)
        claimed = yard.begin(worker)
        ended = await yard.end(worker, claimed)

    assert (ended.id, ended.state) == (run.id, RunState.COMPLETED)
    assert b"digest" in claimed.input


async def test_lists_and_records_are_searched(yard: Yard) -> None:
    await yard.a_task(inputs=(SCANS, MAIL))
    async with receiving(contents) as receiver:
        urls = [f"{receiver.url}/{n}" for n in range(30)]
        mail = {"subject": "s", "attachments": [at(urls[28]), at(urls[29])]}
        run = await yard.a_run(input=asking(scans=[at(u) for u in urls[:28]], mail=mail))
        await until(yard, run, RunState.QUEUED)

    found = await input_of(yard, run)
    assert [scan["name"] for scan in found["scans"]] == [str(n) for n in range(28)]
    assert [scan["name"] for scan in found["mail"]["attachments"]] == ["28", "29"]
    assert len(await lines_of(yard, run)) < 15, "many files share lines"


async def test_names_and_types_follow_what_is_said(yard: Yard) -> None:
    async def named(exchange: Exchange) -> None:
        said = {
            "/plain": 'attachment; filename="r \\"1\\".pdf"',
            "/encoded": "attachment; filename=x.pdf; filename*=UTF-8''%C3%9Cbersicht.pdf",
            "/path": 'attachment; filename="../../etc/passwd"',
        }.get(exchange.target, "")
        await exchange.answer(Content_Disposition=said, Content_Type="bad type\x01")

    await yard.a_task(inputs=(SCANS,))
    async with receiving(named) as receiver:
        given = at(f"{receiver.url}/x", name="mine.csv", content_type="text/csv")
        paths = ("plain", "encoded", "path", "")
        scans = [*(at(f"{receiver.url}/{path}") for path in paths), given]
        run = await yard.a_run(input=asking(scans=scans))
        await until(yard, run, RunState.QUEUED)

    found = (await input_of(yard, run))["scans"]
    assert [scan["name"] for scan in found] == [
        'r "1".pdf', "Übersicht.pdf", "_.._etc_passwd", "file", "mine.csv"
    ]  # fmt: skip
    assert [scan["content_type"] for scan in found[3:]] == ["application/octet-stream", "text/csv"]


@pytest.mark.parametrize("answer", ["503 Later", "500 Oops", "429 Slowly", "break off"])
async def test_what_may_pass_is_tried_again(yard: Yard, answer: str) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(Answers(*[answer] * (TRIES - 1))) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await until(yard, run, RunState.QUEUED, TURNING)

    warnings = await lines_of(yard, run, LogLevel.WARNING)
    assert len(warnings) == TRIES - 1
    for warning, pause in zip(warnings, PAUSES, strict=True):
        assert warning.endswith(f"tried again in {pause.total_seconds():g} s")


async def failed(yard: Yard, run: Run) -> tuple[Run, str]:
    ended = await until(yard, run, RunState.FAILED, TURNING)
    values = await yard.engine.runs.values(yard.company, run.id)
    assert values.error is not None
    assert ended.cause is Cause.INPUT_INVALID
    assert (await lines_of(yard, run))[-1] == values.error.message
    assert ended.finished_at is not None
    return ended, values.error.message


async def test_after_three_tries_the_run_fails_and_its_log_says_why(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(Answers(*["503 Later"] * TRIES)) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        _, message = await failed(yard, run)

    assert message == f"scan: {receiver.url} answers 503 (tried 3 times)"


@pytest.mark.parametrize("answer", ["404 Not Found", "403 Forbidden", "204 No Content"])
async def test_what_will_not_pass_fails_at_once(yard: Yard, answer: str) -> None:
    await yard.a_task(inputs=(SCANS,))
    async with receiving(Answers(answer)) as receiver:
        run = await yard.a_run(input=asking(scans=[at(receiver.url)]))
        _, message = await failed(yard, run)

    assert message == f"scans[0]: {receiver.url} answers {answer[:3]}"
    assert len(receiver.arrived) == 1


async def test_a_redirect_to_a_private_address_fails_the_run(store: Store) -> None:
    async def redirecting(exchange: Exchange) -> None:
        await exchange.answer("302 Found", Location="http://169.254.169.254/latest/meta-data")

    async with a_fetcher(store) as yard:
        await yard.a_task(inputs=(SCAN,))
        async with receiving(redirecting) as receiver:
            run = await yard.a_run(input=asking(scan=at(receiver.url)))
            _, message = await failed(yard, run)

    assert "169.254.169.254 may not be visited (rule: cloud metadata)" in message
    assert "allow_outbound" in message


async def test_a_name_that_leads_to_a_private_address_fails_the_run(store: Store) -> None:
    async with a_fetcher(store, allowed=Allowances()) as yard:
        await yard.a_task(inputs=(SCAN,))
        run = await yard.a_run(input=asking(scan=at("http://localhost:9/x")))
        _, message = await failed(yard, run)

    assert "rule: loopback" in message


@pytest.mark.parametrize("head", ["Content-Length: 1001\r\n", ""], ids=["announced", "not"])
async def test_a_file_that_is_too_big_fails_the_run(yard: Yard, head: str) -> None:
    yard.engine._preparing.fetching.limit = 1000

    async def big(exchange: Exchange) -> None:
        await exchange.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + bytes(1001))
        exchange.writer.close()

    await yard.a_task(inputs=(SCAN,))
    async with receiving(big) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        _, message = await failed(yard, run)

    assert "1,000" in message


@pytest.mark.parametrize(
    ("scan", "field", "said"),
    [
        (at("http://10.0.0.1/x"), "scan", "rule: private"),
        (at("file:///etc/passwd"), "scan", "http:// or https://"),
        (at("https://user:pw@example.com/"), "scan", "password"),
        (at("http://2130706433/"), "scan", "four decimal numbers"),
        ({"url": "https://example.com/", "file": 1}, "scan", "a file"),
        ({"url": 17}, "scan", "a file"),
        ({}, "scan", "a file"),
        ("https://example.com/", "scan", "a file"),
    ],
)
async def test_an_address_that_is_wrong_as_it_stands_is_refused_at_the_start(
    yard: Yard, scan: object, field: str, said: str
) -> None:
    await yard.a_task(inputs=(SCAN,))

    with pytest.raises(InputRefused) as refused:
        await yard.a_run(input=asking(scan=scan))

    [problem] = refused.value.problems
    assert problem.field == field
    assert said in problem.allowed


async def test_too_many_addresses_are_refused(yard: Yard) -> None:
    await yard.a_task(inputs=(SCANS,))

    with pytest.raises(InputRefused, match="at most 1000"):
        await yard.a_run(input=asking(scans=[at("https://example.com/")] * 1001))


async def test_one_run_may_visit_what_others_may_not(store: Store) -> None:
    async with a_fetcher(store, allowed=Allowances()) as yard:
        await yard.a_task(inputs=(SCAN,))
        async with receiving(contents) as receiver:
            asked = asking(scan=at(receiver.url))
            run = await yard.a_run(input=asked, files_from=(receiver.allowance,))
            await until(yard, run, RunState.QUEUED)
            with pytest.raises(InputRefused, match="rule: loopback"):
                await yard.a_run(input=asked)


async def test_a_run_may_be_cancelled_while_it_is_prepared(yard: Yard) -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    await yard.a_task(inputs=(SCAN,))
    async with receiving(silent) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await receiver.has(1)
        cancelled = await yard.engine.runs.cancel(yard.company, str(run.id))
        await nothing_in_hand(yard)

    assert (cancelled.state, cancelled.cause) == (RunState.CANCELLED, Cause.CANCELLED)
    assert (await yard.run(run)).state is RunState.CANCELLED
    assert await yard.store.preparations.next_due_at() is None


async def nothing_in_hand(yard: Yard) -> None:
    async with asyncio.timeout(30):
        while yard.engine._preparing._in_hand:
            await yard.engine.runs.page(yard.company, RunFilter(), None, 1)
            await asyncio.sleep(0)  # noqa: TID251 - lets what was cancelled end


async def test_a_run_that_is_prepared_is_not_parked(yard: Yard) -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    await yard.a_task(inputs=(SCAN,))
    async with receiving(silent) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await receiver.has(1)
        with pytest.raises(IllegalTransition, match="preparing"):
            await yard.engine.runs.park(yard.company, str(run.id))


async def test_a_run_goes_where_it_was_to_go(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        asked = asking(scan=at(receiver.url))
        parked = await yard.a_run(input=asked, parked=True)
        later = await yard.a_run(input=asked, due_at=BEGINNING + timedelta(hours=1))
        assert parked.state is later.state is RunState.PREPARING
        await until(yard, parked, RunState.PARKED)
        await until(yard, later, RunState.SCHEDULED)

    await yard.engine.runs.release(yard.company, str(parked.id))
    assert (await yard.run(parked)).state is RunState.QUEUED
    assert b"digest" in (await yard.engine.runs.values(yard.company, parked.id)).input


async def test_a_restart_uses_the_files_that_were_fetched_and_keeps_them(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await until(yard, run, RunState.QUEUED)
        await yard.engine.runs.cancel(yard.company, str(run.id))
        again = await yard.engine.runs.restart(yard.company, str(run.id))
        assert len(receiver.arrived) == 1

    assert again.state is RunState.QUEUED
    scan = (await input_of(yard, again))["scan"]
    yard.clock.advance(timedelta(days=1))
    await yard.store.runs.prune(yard.company.id, run.task_id, yard.clock.now(), 10)
    assert await yard.engine.files.load(yard.company.id, scan["file"])


async def test_a_restart_of_what_was_never_prepared_prepares(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(Answers("404 Not Found")) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await failed(yard, run)
        again = await yard.engine.runs.restart(yard.company, str(run.id))
        assert again.state is RunState.PREPARING
        await until(yard, again, RunState.QUEUED)


async def test_fetched_files_go_with_their_run(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await until(yard, run, RunState.QUEUED)
    await yard.engine.runs.cancel(yard.company, str(run.id))
    assert len(await yard.store.files.fetched_for(yard.company.id, run.id)) == 1

    yard.clock.advance(timedelta(days=1))
    await yard.store.runs.prune(yard.company.id, run.task_id, yard.clock.now(), 10)

    assert await yard.store.files.fetched_for(yard.company.id, run.id) == []


async def test_a_schedule_may_name_an_address(yard: Yard) -> None:
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        await yard.engine.schedules.create(
            yard.company,
            "Work",
            name="hourly",
            interval=timedelta(hours=1),
            input=asking(scan=at(receiver.url)),
        )
        yard.later(timedelta(hours=1))
        await receiver.has(1)
        [run] = await the_runs(yard)
        await until(yard, run, RunState.QUEUED)


async def the_runs(yard: Yard) -> list[Run]:
    page = await yard.engine.runs.page(yard.company, RunFilter(), None, 10)
    return list(page.runs)


# ---------------------------------------------------------------- several lives


async def test_another_life_of_the_server_goes_on_and_fetches_nothing_twice(store: Store) -> None:
    clock = TurnedClock()
    let_go = asyncio.Event()

    async def second_waits(exchange: Exchange) -> None:
        if exchange.target == "/second" and not let_go.is_set():
            await asyncio.Event().wait()
        await contents(exchange)

    async with receiving(second_waits) as receiver:
        async with a_fetcher(store, clock) as yard:
            await yard.a_task(inputs=(SCANS,))
            scans = [at(f"{receiver.url}/first"), at(f"{receiver.url}/second")]
            run = await yard.a_run(input=asking(scans=scans))
            await receiver.has(2)
            await has_said(yard, run, "fetched first")
        let_go.set()
        async with a_fetcher(store, clock) as yard:
            await until(yard, run, RunState.QUEUED)
            names = [scan["name"] for scan in (await input_of(yard, run))["scans"]]

    assert names == ["first", "second"]
    assert [exchange.target for exchange in receiver.arrived].count("/first") == 1


async def test_what_a_dead_server_prepared_is_taken_over(store: Store) -> None:
    clock = TurnedClock()
    async with receiving(contents) as receiver:
        async with a_fetcher(store, clock) as yard:
            await yard.a_task(inputs=(SCAN,))
            yard.engine._preparing._group = None  # it dies before it begins
            run = await yard.a_run(input=asking(scan=at(receiver.url)))
            yard.engine._preparing._waiting.clear()
        async with a_fetcher(store, clock) as yard:
            if store.is_shared:  # it may still be alive: wait until its hold is over
                assert (await yard.run(run)).state is RunState.PREPARING
                clock.advance(HELD_FOR)
            await until(yard, run, RunState.QUEUED)

    assert len(receiver.arrived) == 1


async def test_a_long_preparation_stays_in_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.engine.preparing.KEPT_EVERY", ODD)  # which nothing else sleeps for
    clock = TurnedClock()
    let_go = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await let_go.wait()
        await contents(exchange)

    async with receiving(slow) as receiver, a_fetcher(store, clock) as yard:
        await yard.a_task(inputs=(SCAN,))
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await receiver.has(1)
        await keeping(store, clock)
        for _ in range(6):
            clock.advance(ODD)
            await keeping(store, clock)
        let_go.set()
        await until(yard, run, RunState.QUEUED)

    assert len(receiver.arrived) == 1


async def keeping(store: Store, clock: TurnedClock) -> None:
    """Return once the preparation was kept in hand at this instant, and will be again."""
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0)  # noqa: TID251 - reading may not wait for anything
            due_at = await store.preparations.next_due_at()
            sleeps = any(until - clock.monotonic() == ODD for until, _ in clock._sleepers)
            if due_at == clock.now() + HELD_FOR and sleeps:
                return


@pytest.mark.parametrize("problem", [StorageUnavailable("away"), RuntimeError("a defect")])
async def test_whatever_keeps_a_run_from_being_released_is_tried_again(
    yard: Yard, problem: Exception
) -> None:
    """R2: what was no refusal of the store ended every loop of the server."""
    release, failed = yard.store.runs.end_preparing, []

    async def end_preparing(*values: Any) -> Any:
        if not failed:
            failed.append(values)
            raise problem
        return await release(*values)

    yard.store.runs.end_preparing = end_preparing  # type: ignore[method-assign]
    await yard.a_task(inputs=(SCAN,))
    async with receiving(contents) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))

        await until(yard, run, RunState.QUEUED, TURNING)

    assert len(failed) == 1


async def test_the_doctor_finds_a_run_that_nobody_prepares(yard: Yard) -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    await yard.a_task(inputs=(SCAN,))
    async with receiving(silent) as receiver:
        run = await yard.a_run(input=asking(scan=at(receiver.url)))
        await receiver.has(1)
        assert await yard.store.runs.breaches(yard.clock.now(), 10) == []
        await yard.store.preparations.forget([run.id])
        [breach] = await yard.store.runs.breaches(yard.clock.now(), 10)

    assert (breach.run_id, breach.detail) == (run.id, "preparing, but nobody prepares it")
