"""A worker whose connection broke comes back and goes on (R11)."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from runyard.model.ids import RunId, SessionId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tokens import Role, Token, TokenKind
from runyard.protocol import frames
from runyard.telemetry import LATE_REPORT, listening
from tests.gateway.conftest import Doorway, Line, hello


async def a_token(door: Doorway) -> Token:
    created = await door.yard.engine.tokens.create(
        TokenKind.WORKER, door.yard.company, role=Role.OPERATOR, joins=True
    )
    return created.token


class Member:
    """A worker that was let in, over one connection after the other."""

    def __init__(self, door: Doorway, token: Token) -> None:
        self.door = door
        self.token = token
        self.line: Line
        self.welcome: frames.Welcome

    async def begins(self, capacity: int = 2) -> "Member":
        self.line = self.door.line(self.token)
        self.line.say(hello())
        self.welcome = await self.line.hears(frames.Welcome)
        self.line.say(frames.Capacity(capacity))
        return self

    async def is_cut_off(self) -> None:
        self.line.leave()
        await self.line.is_closed()
        await self.door.yard.turned()

    def claim(self, *begun: frames.Start, ended: tuple[frames.Lease, ...] = ()) -> frames.Resume:
        return frames.Resume(
            session_id=self.welcome.session_id, key=self.welcome.key, begun=begun, ended=ended
        )

    async def comes_back(
        self, *begun: frames.Start, ended: tuple[frames.Lease, ...] = (), capacity: int = 2
    ) -> frames.Welcome:
        self.line = self.door.line(self.token)
        self.line.say(msgspec.structs.replace(hello(), resume=self.claim(*begun, ended=ended)))
        self.welcome = await self.line.hears(frames.Welcome)
        self.line.say(frames.Capacity(capacity))
        return self.welcome

    async def assigned(self) -> frames.Assignment:
        return (await self.line.hears(frames.Assignments)).runs[0]

    def start(self, run: frames.Assignment) -> frames.Start:
        return frames.Start(run.run_id, run.token, self.door.yard.clock.now())

    def end(self, run: frames.Assignment, outcome: Outcome = Outcome.RETURNED) -> frames.Ended:
        now = self.door.yard.clock.now()
        end = frames.End(
            run_id=run.run_id, token=run.token, outcome=outcome, begun_at=now, finished_at=now
        )
        return frames.Ended((end,))


@pytest.fixture
async def member(door: Doorway) -> Member:
    await door.yard.a_task()
    return await Member(door, await a_token(door)).begins()


async def settled(door: Doorway, run: int, state: RunState) -> None:
    async with asyncio.timeout(10):
        while (await door.yard.run(RunId(run))).state is not state:
            await door.yard.turned()


async def test_a_begun_run_goes_on_over_another_connection(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()
    door.yard.clock.advance(timedelta(seconds=9))

    welcome = await member.comes_back(member.start(run))
    member.line.say(member.end(run))
    await settled(door, run.run_id, RunState.COMPLETED)

    found = await door.yard.run(run.run_id)
    assert (found.attempt, found.cause) == (1, Cause.RETURNED_NOTHING)
    assert (welcome.resumed, welcome.void) == (True, ())
    assert (await member.line.hears(frames.Recorded)).runs == (frames.Lease(run.run_id, run.token),)


async def test_nothing_is_given_to_a_worker_that_is_cut_off(door: Doorway, member: Member) -> None:
    await member.is_cut_off()

    run = await door.yard.a_run()
    await door.yard.turned()

    assert (await door.yard.run(run)).state is RunState.QUEUED
    await member.comes_back()
    assert (await member.assigned()).run_id == run.id


async def test_what_had_not_begun_goes_back_into_the_queue(door: Doorway, member: Member) -> None:
    """The worker has dropped it: whether it had arrived there or not."""
    run = await door.yard.a_run()
    first = await member.assigned()
    await member.is_cut_off()

    await member.comes_back()

    second = await member.assigned()
    assert second.run_id == first.run_id == run.id
    assert second.token > first.token


async def test_a_run_that_was_given_away_meanwhile_is_void_at_the_worker(
    door: Doorway, member: Member
) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()
    foreign = msgspec.structs.replace(member.start(run), token=run.token - 1)

    welcome = await member.comes_back(foreign)

    assert welcome.void == (frames.Lease(run.run_id, run.token - 1),)


async def test_a_begun_run_that_its_worker_knows_nothing_of_is_lost(
    door: Doorway, member: Member
) -> None:
    """R2"""
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()

    await member.comes_back()
    await door.yard.engine.attempts.settled()

    assert (await door.yard.run(run.run_id)).attempt == 1
    assert (await door.yard.run(run.run_id)).state is not RunState.RUNNING


async def test_an_end_is_said_until_it_is_recorded_and_counts_once(
    door: Doorway, member: Member
) -> None:
    """R3"""
    await door.yard.a_run()
    run = await member.assigned()
    lease = frames.Lease(run.run_id, run.token)
    member.line.say(frames.Begun((member.start(run),)), member.end(run))
    await member.line.hears(frames.Recorded)
    await member.is_cut_off()

    welcome = await member.comes_back(ended=(lease,))
    member.line.say(member.end(run), member.end(run))

    assert welcome.void == ()
    assert (await member.line.hears(frames.Recorded)).runs == (lease,)
    found = await door.yard.run(run.run_id)
    assert (found.state, found.attempt) == (RunState.COMPLETED, 1)


async def test_an_end_that_got_lost_with_the_connection_is_taken_afterwards(
    door: Doorway, member: Member
) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()

    await member.comes_back(ended=(frames.Lease(run.run_id, run.token),))
    member.line.say(member.end(run))
    await settled(door, run.run_id, RunState.COMPLETED)


async def test_lines_that_are_said_again_are_kept_once(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    now = door.yard.clock.now()
    lines = [LogLine(n, now, LogLevel.INFO, f"line {n}", 1) for n in range(1, 5)]

    def said(*which: int) -> frames.LogLines:
        return frames.LogLines(run.run_id, run.token, tuple(lines[n - 1] for n in which))

    member.line.say(frames.Begun((member.start(run),)), said(1, 2))
    await member.is_cut_off()
    await member.comes_back(member.start(run))
    member.line.say(said(1, 2), said(3, 4), member.end(run))
    await settled(door, run.run_id, RunState.COMPLETED)

    page = await door.yard.engine.logs.read(door.yard.company.id, run.run_id, LogLevel.TRACE, 0, 10)
    assert [line.text for line in page.lines] == [f"line {n}" for n in range(1, 5)]


async def test_a_worker_that_comes_back_too_late_begins_anew(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()
    door.yard.clock.advance(timedelta(seconds=11))
    await settled(door, run.run_id, RunState.FAILED)

    line = door.line(member.token)
    line.say(msgspec.structs.replace(hello(), resume=member.claim(member.start(run))))
    refusal = await line.hears(frames.Refusal)

    assert refusal.code == "lapsed"
    await member.begins()


@pytest.mark.parametrize("wrong", ["key", "session", "company"])
async def test_a_session_is_only_its_own_workers(door: Doorway, member: Member, wrong: str) -> None:
    await member.is_cut_off()
    claim = member.claim()
    token = member.token
    match wrong:
        case "key":
            claim = msgspec.structs.replace(claim, key="x" * 43)
        case "session":
            claim = msgspec.structs.replace(claim, session_id=SessionId(999))
        case _:
            other = await door.yard.engine.companies.create("globex")
            token = (
                await door.yard.engine.tokens.create(
                    TokenKind.WORKER, other, role=Role.OPERATOR, joins=True
                )
            ).token

    line = door.line(token)
    line.say(msgspec.structs.replace(hello(), resume=claim))

    assert (await line.hears(frames.Refusal)).code == "lapsed"


async def test_a_connection_that_nobody_has_missed_yet_is_superseded(
    door: Doorway, member: Member
) -> None:
    """The worker knows of the break before the server does."""
    await door.yard.a_run()
    run = await member.assigned()
    before = member.line
    before.say(frames.Begun((member.start(run),)))

    await member.comes_back(member.start(run))

    assert "connected again" in await before.is_closed()
    before.say(frames.Capacity(50))
    member.line.say(member.end(run))
    await settled(door, run.run_id, RunState.COMPLETED)


async def test_a_kill_waits_for_a_worker_that_is_cut_off(door: Doorway, member: Member) -> None:
    """R6: the answer comes when the worker is back and the run dead."""
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()

    killing = asyncio.ensure_future(door.yard.engine.runs.kill(door.yard.company, str(run.run_id)))
    await door.yard.turned()
    await member.comes_back(member.start(run))
    kill = await member.line.hears(frames.Kill)
    assert not killing.done()
    member.line.say(frames.Killed(kill.request, kill.runs))
    report = await asyncio.wait_for(killing, 10)

    assert (report.killed, report.unconfirmed) == ((run.run_id,), ())


async def test_a_kill_whose_answer_got_lost_is_asked_again(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await door.yard.turned()
    killing = asyncio.ensure_future(door.yard.engine.runs.kill(door.yard.company, str(run.run_id)))
    await member.line.hears(frames.Kill)
    await member.is_cut_off()

    await member.comes_back()  # it is dead there, and not spoken of
    kill = await member.line.hears(frames.Kill)
    member.line.say(frames.Killed(kill.request, kill.runs))
    report = await asyncio.wait_for(killing, 10)

    assert report.killed == (run.run_id,)
    assert (await door.yard.run(run.run_id)).cause is Cause.CANCELLED


async def test_a_kill_of_a_worker_that_does_not_come_back_is_unconfirmed(
    door: Doorway, member: Member
) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()

    killing = asyncio.ensure_future(door.yard.engine.runs.kill(door.yard.company, str(run.run_id)))
    await door.yard.turned()
    door.yard.clock.advance(timedelta(seconds=11))
    report = await asyncio.wait_for(killing, 10)

    assert report.unconfirmed == (run.run_id,)
    assert (await door.yard.run(run.run_id)).cause is Cause.CANCELLED


async def test_a_pause_is_answered_once_a_cut_off_worker_is_back(
    door: Doorway, member: Member
) -> None:
    """R6: what had not begun there has been dropped, and is in the queue again."""
    run = await door.yard.a_run()
    await member.assigned()
    await member.is_cut_off()

    pausing = asyncio.ensure_future(door.yard.engine.orchestrator.pause(door.yard.company))
    await door.yard.turned()
    assert not pausing.done()
    await member.comes_back()
    await asyncio.wait_for(pausing, 10)

    assert (await door.yard.run(run)).state is RunState.QUEUED
    assert not any(isinstance(frame, frames.Assignments) for frame in member.line.heard)


async def test_a_clean_finds_what_is_on_its_way_back_into_the_queue(
    door: Doorway, member: Member
) -> None:
    """R6"""
    run = await door.yard.a_run()
    await member.assigned()
    await member.is_cut_off()

    await member.comes_back(capacity=0)
    cleaned = await door.yard.engine.tasks.clean(door.yard.company, "Work")

    assert cleaned == [run.id]
    assert (await door.yard.run(run)).cause is Cause.CANCELLED


async def test_a_step_said_again_is_recorded_once(door: Doorway, member: Member) -> None:
    """R5"""
    await door.yard.a_run()
    run = await member.assigned()

    def step(request: int, value: bytes) -> frames.StepDone:
        return frames.StepDone(request, run.run_id, run.token, "pay", 0, msgspec.Raw(value))

    member.line.say(frames.Begun((member.start(run),)), step(1, b"1"))
    await member.line.hears(frames.StepRecorded)
    await member.is_cut_off()
    await member.comes_back(member.start(run))
    member.line.say(step(1, b"2"))

    assert (await member.line.hears(frames.StepRecorded)).lost is False
    assert await door.yard.store.runs.steps([run.run_id]) == {run.run_id: [("pay", 0, b"1")]}


async def test_a_file_that_broke_off_is_taken_when_it_is_sent_again(
    door: Doorway, member: Member
) -> None:
    await door.yard.a_run()
    run = await member.assigned()

    def offered(transfer: int) -> frames.FileOffered:
        return frames.FileOffered(
            transfer=transfer,
            run_id=run.run_id,
            token=run.token,
            name="a.txt",
            content_type="text/plain",
            size=6,
        )

    member.line.say(
        frames.Begun((member.start(run),)), offered(1), frames.FilePart(1, b"abc", last=False)
    )
    await member.is_cut_off()
    await member.comes_back(member.start(run))
    member.line.say(offered(2), frames.FilePart(2, b"abcdef", last=True))
    stored = await member.line.hears(frames.FileStored)

    assert stored.file_id is not None
    assert len(await door.yard.engine.files.list(door.yard.company.id, 10)) == 1


async def test_a_goodbye_is_no_break(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()

    member.line.say(frames.Goodbye("done"))
    await settled(door, run.run_id, RunState.QUEUED)

    line = door.line(member.token)
    line.say(msgspec.structs.replace(hello(), resume=member.claim()))
    assert (await line.hears(frames.Refusal)).code == "lapsed"


async def test_resuming_makes_no_report_late(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await member.is_cut_off()

    with listening() as heard:
        await member.comes_back(member.start(run))
        member.line.say(frames.Begun((member.start(run),)), member.end(run))
        await settled(door, run.run_id, RunState.COMPLETED)

    assert LATE_REPORT not in {event for event, _ in heard}


async def test_a_worker_that_lives_and_never_answers_loses_its_session(
    door: Doorway, member: Member
) -> None:
    """R6: for as long as its lease lasts, a kill waits for it."""
    await door.yard.a_run()
    run = await member.assigned()
    member.line.say(frames.Begun((member.start(run),)))
    await door.yard.turned()

    killing = asyncio.ensure_future(door.yard.engine.runs.kill(door.yard.company, str(run.run_id)))
    await member.line.hears(frames.Kill)
    for number in range(1, 8):
        door.yard.clock.advance(timedelta(seconds=2))
        member.line.say(frames.Heartbeat(1, number))
        await door.yard.turned()
        if member.line.closed is not None:
            break
    report = await asyncio.wait_for(killing, 10)
    for _ in range(3):
        door.yard.clock.advance(timedelta(seconds=3))
        await door.yard.turned()

    assert report.unconfirmed == (run.run_id,)
    await member.line.is_closed()
    assert not any(view.online for view in await door.yard.engine.workers.list())


async def test_who_is_there_is_noted_once_a_minute(door: Doorway, member: Member) -> None:
    await door.yard.a_run()
    await member.assigned()
    worker = await door.yard.engine.workers.load(door.yard.company.id, "wire")

    for number in range(1, 40):
        door.yard.clock.advance(timedelta(seconds=2))
        member.line.say(frames.Heartbeat(1, number))
        await door.yard.turned()
    async with asyncio.timeout(10):
        while (now := await door.yard.store.workers.find(worker.id)) is None or not now.busy:
            await door.yard.turned()

    assert now.busy == 1
    views = await door.yard.engine.workers.list()
    [view] = [view for view in views if view.worker.id == worker.id]
    assert view.worker.last_seen_at == door.yard.clock.now(), "who is online is seen now"
    assert now.last_seen_at is not None
    assert now.last_seen_at > worker.last_seen_at + timedelta(seconds=50)


async def test_a_companys_worker_sees_no_blob_of_another(door: Doorway, member: Member) -> None:
    """R: what belongs to others does not exist for it, whoever told it the digest."""
    other = await door.yard.engine.companies.create("globex")
    foreign = await door.yard.engine.files.keep(
        other.id, "secret.txt", "text/plain", parts_of(b"secret"), limit=100
    )
    own = await door.yard.engine.files.keep(
        door.yard.company.id, "own.txt", "text/plain", parts_of(b"own"), limit=100
    )

    member.line.say(frames.BlobWanted(foreign.digest), frames.BlobWanted(own.digest))
    parts = [await member.line.hears(frames.BlobPart) for _ in range(2)]

    found = {part.digest: (part.data, part.size) for part in parts}
    assert found == {foreign.digest: (b"", None), own.digest: (b"own", 3)}


async def parts_of(content: bytes):
    yield content


@pytest.mark.parametrize(
    "change",
    [
        {"slots": 0},
        {"slots": 2**70},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 1000},
        {"labels": ("a",) * 1000},
        {"host": "\0"},
    ],
)
async def test_a_hello_that_no_worker_says_is_refused(
    door: Doorway, change: dict[str, object]
) -> None:
    line = door.line(await a_token(door))

    line.say(msgspec.structs.replace(hello(), **change))

    assert await line.is_closed()
    assert await door.yard.engine.workers.list() == []


@pytest.mark.parametrize("what", ["blobs", "steps", "parts"])
async def test_more_at_once_than_a_worker_needs_ends_the_conversation(
    door: Doorway, member: Member, what: str
) -> None:
    """R12"""
    await door.yard.a_run()
    run = await member.assigned()
    match what:
        case "blobs":
            member.line.say(*(frames.BlobWanted(f"{n:064}") for n in range(1000)))
        case "steps":
            member.line.say(
                *(
                    frames.StepDone(n, run.run_id, run.token, "pay", n, msgspec.Raw(b"1"))
                    for n in range(1, 1000)
                )
            )
        case _:
            member.line.say(
                frames.FileOffered(
                    transfer=1,
                    run_id=run.run_id,
                    token=run.token,
                    name="a",
                    content_type="text/plain",
                    size=10**9,
                ),
                *(frames.FilePart(1, b"x" * frames.PART_SIZE, last=False) for _ in range(100)),
            )

    assert "protocol violation" in await member.line.is_closed()
