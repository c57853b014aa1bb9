"""A worker's conversation: translated, refused, cut off in the middle."""

import asyncio
import json
from datetime import timedelta

import msgspec
import pytest

from runyard.gateway.conversation import Visitor
from runyard.model.errors import CodeRefused, NoWorker, StorageUnavailable
from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome, RunError
from runyard.model.states import Cause, RunState
from runyard.model.tokens import Role, TokenKind
from runyard.model.types import Field, Integer
from runyard.protocol import frames
from runyard.protocol.memory import memory_pair
from tests.gateway.conftest import Doorway, Line, hello
from tests.support.yard import _no_bytes, a_declaration


async def assigned(door: Doorway, line: Line) -> frames.Assignment:
    """A started run, as it arrived at the worker."""
    run = await door.yard.a_run()
    assignment = (await line.hears(frames.Assignments)).runs[0]
    assert assignment.run_id == run.id
    return assignment


def begun(door: Doorway, run: frames.Assignment) -> frames.Begun:
    return frames.Begun((frames.Start(run.run_id, run.token, door.yard.clock.now()),))


def ended(door: Doorway, run: frames.Assignment, **values: object) -> frames.Ended:
    given = {"outcome": Outcome.RETURNED, "begun_at": door.yard.clock.now(), **values}
    return frames.Ended(
        (
            frames.End(
                run_id=run.run_id,
                token=run.token,
                finished_at=door.yard.clock.now(),
                **given,  # type: ignore[arg-type]
            ),
        )
    )


async def settled(door: Doorway, run: int, state: RunState) -> None:
    async with asyncio.timeout(10):
        while (await door.yard.run(RunId(run))).state is not state:
            await door.yard.turned()


async def test_a_run_goes_over_the_line_and_its_end_comes_back(door: Doorway) -> None:
    await door.yard.a_task(outputs=(Field(name="a", parameter="a", type=Integer()),))
    line = await door.worker()

    run = await assigned(door, line)
    said = LogLine(1, door.yard.clock.now(), LogLevel.ERROR, "careful")
    line.say(
        begun(door, run),
        frames.LogLines(run.run_id, run.token, (said,)),
        ended(door, run, output=msgspec.Raw(b'{"a":1}'), logged_errors=1),
    )
    await settled(door, run.run_id, RunState.COMPLETED)

    found = await door.yard.run(run.run_id)
    page = await door.yard.engine.logs.read(door.yard.company.id, run.run_id, LogLevel.TRACE, 0, 10)
    introduction = await line.hears(frames.Introduction)
    assert (found.cause, found.attempt) == (Cause.RETURNED_WITH_ERRORS, 1)
    assert [shown.text for shown in page.lines] == ["careful"]
    assert (introduction.company, introduction.task) == ("acme", "Work")
    assert json.loads(bytes(run.input)) == {}


async def test_an_error_comes_back_whole(door: Doorway) -> None:
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    error = RunError(kind="ValueError", message="wrong", traceback="line 3")
    line.say(begun(door, run), ended(door, run, outcome=Outcome.RAISED, error=error))
    await settled(door, run.run_id, RunState.FAILED)

    values = await door.yard.engine.runs.values(door.yard.company, run.run_id)
    assert values.error == error


async def test_a_report_under_another_token_changes_nothing(door: Doorway) -> None:
    """R4"""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(ended(door, msgspec.structs.replace(run, token=run.token - 1)), begun(door, run))
    line.say(ended(door, run, outcome=Outcome.RAISED))
    await settled(door, run.run_id, RunState.FAILED)


async def test_a_step_is_recorded_before_it_is_answered_and_comes_back(door: Doorway) -> None:
    """R5"""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(begun(door, run))
    line.say(frames.StepDone(7, run.run_id, run.token, "pay", 0, msgspec.Raw(b"42")))
    kept = await line.hears(frames.StepRecorded)
    line.say(frames.StepDone(8, run.run_id, run.token + 1, "pay", 1, msgspec.Raw(b"43")))
    lost = await line.hears(frames.StepRecorded)

    recorded = await door.yard.store.runs.steps([run.run_id])
    assert (kept.request, kept.lost) == (7, False)
    assert (lost.request, lost.lost) == (8, True)
    assert recorded == {run.run_id: [("pay", 0, b"42")]}


async def test_recall_and_kill_are_answered_by_the_worker(door: Doorway) -> None:
    """R6"""
    await door.yard.a_task()
    line = await door.worker()
    unbegun = await assigned(door, line)
    running = await assigned(door, line)
    line.say(begun(door, running))
    await line.hears(frames.Introduction)

    pausing = asyncio.ensure_future(door.yard.engine.orchestrator.pause(door.yard.company))
    recall = await line.hears(frames.Recall)
    line.say(frames.Recalled(recall.request, recall.runs))
    await asyncio.wait_for(pausing, 10)
    killing = asyncio.ensure_future(
        door.yard.engine.runs.kill(door.yard.company, str(running.run_id))
    )
    kill = await line.hears(frames.Kill)
    line.say(frames.Killed(kill.request, kill.runs))
    report = await asyncio.wait_for(killing, 10)

    assert [lease.run_id for lease in recall.runs] == [unbegun.run_id]
    assert report.killed == (running.run_id,)
    assert (await door.yard.run(unbegun.run_id)).state is RunState.QUEUED


async def test_a_worker_that_leaves_during_a_kill_leaves_it_unconfirmed(door: Doorway) -> None:
    """R6"""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)
    line.say(begun(door, run))
    await door.yard.turned()

    killing = asyncio.ensure_future(door.yard.engine.runs.kill(door.yard.company, str(run.run_id)))
    await line.hears(frames.Kill)
    line.leave()
    report = await asyncio.wait_for(killing, 10)

    assert report.killed == ()
    found = await door.yard.run(run.run_id)
    assert found.is_final or report.unconfirmed == (run.run_id,)


async def test_an_inspection_comes_back_with_lines_and_tasks_or_a_refusal(door: Doorway) -> None:
    line = await door.worker()
    lines: list[str] = []
    deploys = door.yard.engine.deploys

    first = asyncio.ensure_future(
        deploys.deploy(door.yard.company, "shop", _no_bytes(), on_line=lines.append)
    )
    inspect = await line.hears(frames.Inspect)
    line.say(
        frames.InspectionLine(inspect.request, "building"),
        frames.InspectionLine(inspect.request + 99, "nobody asked"),
        frames.Inspected(inspect.request, (a_declaration("A"),)),
    )
    report = await asyncio.wait_for(first, 10)
    second = asyncio.ensure_future(deploys.deploy(door.yard.company, "shop", _no_bytes()))
    inspect = await line.hears(frames.Inspect)
    problem = frames.CodeProblem(reason="no", file="a.py", line=2)
    line.say(frames.Inspected(inspect.request, problem=problem))
    with pytest.raises(CodeRefused) as refusal:
        await asyncio.wait_for(second, 10)

    assert lines == ["building"]
    assert [item.task.name for item in report.tasks] == ["A"]
    assert (refusal.value.file, refusal.value.line) == ("a.py", 2)


async def test_a_worker_that_leaves_during_an_inspection_says_try_again(door: Doorway) -> None:
    line = await door.worker()

    deploying = asyncio.ensure_future(
        door.yard.engine.deploys.deploy(door.yard.company, "shop", _no_bytes())
    )
    await line.hears(frames.Inspect)
    line.leave()

    with pytest.raises(NoWorker, match="try again"):
        await asyncio.wait_for(deploying, 10)


def offered(run: frames.Assignment, transfer: int = 1) -> frames.FileOffered:
    return frames.FileOffered(
        transfer=transfer,
        run_id=run.run_id,
        token=run.token,
        name="report.txt",
        content_type="text/plain",
        size=6,
    )


async def test_a_file_whose_parts_come_at_once_is_kept(door: Doorway) -> None:
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(
        offered(run), frames.FilePart(1, b"abc", last=False), frames.FilePart(1, b"def", last=True)
    )
    stored = await line.hears(frames.FileStored)

    assert stored.file_id is not None
    file = await door.yard.engine.files.load(door.yard.company.id, stored.file_id)
    content = b"".join([part async for part in door.yard.engine.files.read(file)])
    assert (file.name, file.run_id, content) == ("report.txt", run.run_id, b"abcdef")


async def test_a_file_that_breaks_off_is_not_kept(door: Doorway) -> None:
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(offered(run), frames.FilePart(1, b"abc", last=False))
    await door.yard.turned()
    line.leave()
    await settled(door, run.run_id, RunState.QUEUED)

    assert await door.yard.engine.files.list(door.yard.company.id, 10) == []


async def later(door: Doorway, line: Line, kind: type) -> object:
    """What the worker hears when some time has passed."""
    heard = asyncio.ensure_future(line.hears(kind))
    async with asyncio.timeout(20):
        while not heard.done():
            door.yard.later(timedelta(milliseconds=100))
            await door.yard.turned()
    return await heard


def failing(store: object, method: str, times: int) -> list[str]:
    """Let this method of a store fail so often first, as if the database were away."""
    real, failed = getattr(store, method), []

    async def called(*values: object, **named: object) -> object:
        if len(failed) < times:
            failed.append(method)
            raise StorageUnavailable("away")
        return await real(*values, **named)

    setattr(store, method, called)
    return failed


@pytest.mark.parametrize("method", ["blobs.put", "files.create"])
async def test_a_file_waits_for_a_database_that_is_away(door: Doorway, method: str) -> None:
    """R11: the run that returned it failed for that."""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)
    part, name = method.split(".")
    failed = failing(getattr(door.yard.store, part), name, 2)

    line.say(offered(run), frames.FilePart(1, b"abcdef", last=True))
    stored = await later(door, line, frames.FileStored)

    assert len(failed) == 2
    assert stored.file_id is not None
    [file] = await door.yard.engine.files.list(door.yard.company.id, 10)
    assert (file.id, file.size) == (stored.file_id, 6)


async def test_a_blob_waits_for_a_database_that_is_away(door: Doorway) -> None:
    """R11: the conversation broke off, and a worker inside the server lost its runs with it."""
    line = await door.worker()
    digest = await door.yard.store.blobs.put(b"content")
    failed = failing(door.yard.store.blobs, "size", 2)

    line.say(frames.BlobWanted(digest))
    part = await later(door, line, frames.BlobPart)

    assert len(failed) == 2
    assert part.data == b"content"


async def test_parts_without_bytes_are_no_file(door: Doorway) -> None:
    """R12: they cost their sender nothing and this server memory."""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(offered(run), frames.FilePart(1, b"", last=False))

    assert "protocol violation" in await line.is_closed()


async def test_a_file_of_a_run_that_is_not_the_workers_is_refused_and_forgotten(
    door: Doorway,
) -> None:
    """R12: its parts were kept in memory for as long as the worker was connected."""
    await door.yard.a_task()
    run = await assigned(door, await door.worker(name="other"))
    theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)
    conversation = door.gateway.accept(ours, Visitor(address="", token=None))
    line = Line(theirs)
    line.say(hello())
    await line.hears(frames.Welcome)

    line.say(offered(run), frames.FilePart(1, b"abc", last=False))
    stored = await line.hears(frames.FileStored)
    line.say(frames.FilePart(1, b"def", last=True))
    await door.yard.turned()

    assert conversation.link is not None
    assert conversation.link._transfers == {}
    assert stored.file_id is None
    assert "lease" in stored.detail
    assert await door.yard.engine.files.list(door.yard.company.id, 10) == []


async def test_a_blob_comes_in_parts_from_where_it_is_wanted(door: Doorway) -> None:
    line = await door.worker()
    content = bytes(range(256)) * 8192
    digest = await door.yard.store.blobs.put(content)

    line.say(frames.BlobWanted(digest, 1000))
    data = b""
    while len(data) < len(content) - 1000:
        part = await line.hears(frames.BlobPart)
        assert (part.digest, part.size, part.offset) == (digest, len(content), 1000 + len(data))
        data += part.data
    line.say(frames.BlobWanted("0" * 64))
    missing = await line.hears(frames.BlobPart)

    assert data == content[1000:]
    assert missing.size is None


# ---------------------------------------------------------------- who is let in


async def test_a_workers_token_says_which_company_it_serves(door: Doorway) -> None:
    created = await door.yard.engine.tokens.create(
        TokenKind.WORKER, door.yard.company, role=Role.OPERATOR, joins=True
    )
    line = door.line(created.token)

    line.say(hello())
    welcome = await line.hears(frames.Welcome)

    [view] = await door.yard.engine.workers.list(door.yard.company)
    assert welcome.protocol == 2
    assert (view.worker.company_id, view.worker.address) == (door.yard.company.id, "10.0.0.7")


async def test_a_worker_that_speaks_another_protocol_is_refused(door: Doorway) -> None:
    line = door.line()

    line.say(hello(protocol=(99,)))
    refusal = await line.hears(frames.Refusal)

    assert refusal.code == "protocol"
    assert "protocol 2" in refusal.detail


@pytest.mark.parametrize("what", ["runs before hello", "second hello", "heartbeat before hello"])
async def test_what_may_not_be_said_ends_the_conversation(door: Doorway, what: str) -> None:
    line = door.line() if "before" in what else await door.worker()

    match what:
        case "runs before hello":
            line.say(frames.Capacity(5))
        case "heartbeat before hello":
            line.say(frames.Heartbeat(0, 1))
        case _:
            line.say(hello())

    assert "protocol violation" in await line.is_closed()


async def test_a_worker_that_leaves_while_it_is_let_in_holds_nothing(door: Doorway) -> None:
    """Its session stayed open until its lease was over, and runs were given to it."""
    await door.yard.a_task()
    line = door.line()

    line.say(hello())
    line.leave()
    await line.is_closed()
    async with asyncio.timeout(10):
        while not await door.yard.engine.workers.list():
            await door.yard.turned()
        while any(view.online for view in await door.yard.engine.workers.list()):
            await door.yard.turned()


async def test_heartbeats_are_answered_and_keep_the_session(door: Doorway) -> None:
    line = await door.worker()

    for number in range(1, 8):
        door.yard.clock.advance(door.yard.engine.lease / 2)
        line.say(frames.Heartbeat(0, number))
        assert (await line.hears(frames.Renewed)).number == number

    [view] = await door.yard.engine.workers.list()
    assert view.online


async def test_a_goodbye_gives_everything_back(door: Doorway) -> None:
    """R13"""
    await door.yard.a_task()
    line = await door.worker()
    run = await assigned(door, line)

    line.say(frames.Goodbye("done for today"))
    await settled(door, run.run_id, RunState.QUEUED)

    assert await line.is_closed() == "done for today"


async def test_a_draining_server_tells_its_workers(door: Doorway) -> None:
    """R13"""
    line = await door.worker()

    await door.yard.engine.drain()

    await line.hears(frames.Drain)
