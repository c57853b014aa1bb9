"""A worker whose server died goes on at another one of the same database (R11, R3)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runyard.engine.resuming import Claimed, Reconciled
from runyard.engine.sessions import AttemptEnd, Session, WorkerHello
from runyard.model.errors import SessionLapsed, WorkerLocked, WorkerNameInUse
from runyard.model.ids import CompanyId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome
from runyard.model.states import RunState
from runyard.model.tasks import Policies, RetryPolicy
from runyard.model.tokens import Role, TokenKind
from runyard.stores.contract.leases import ClaimedRun
from tests.support.pair import Pair, opened_pair, until
from tests.support.yard import HandWorker, Yard


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


def hello(company: CompanyId | None = None, name: str = "far") -> WorkerHello:
    return WorkerHello(
        name=name,
        version="0",
        host="host-17",
        os="",
        address="10.0.0.7",
        slots=2,
        company_id=company,
        allowed=True,
        is_resumable=True,
    )


async def a_member(yard: Yard, capacity: int = 2) -> HandWorker:
    worker = HandWorker()
    worker.session = await yard.engine.connect(worker, hello())
    yard.engine.set_capacity(worker.session, capacity)
    return worker


def claim(session: Session, *begun: ClaimedRun, yard: Yard) -> Claimed:
    now = yard.clock.now()
    return Claimed(
        session_id=session.id,
        key=session.key,
        begun=tuple((run.run_id, run.token, now) for run in begun),
    )


async def goes_over(
    yard: Yard, before: Session, *begun: ClaimedRun
) -> tuple[HandWorker, Reconciled]:
    """The worker comes back at another server."""
    worker = HandWorker()
    claimed = claim(before, *begun, yard=yard)
    worker.session = await yard.engine.resume(worker, hello(), claimed)
    reconciled = yard.engine.reconcile(worker.session, claimed, frozenset())
    await yard.engine.put_back(reconciled)
    return worker, reconciled


def end_of(run: ClaimedRun, yard: Yard) -> AttemptEnd:
    now = yard.clock.now()
    return AttemptEnd(
        run_id=run.run_id,
        token=run.token,
        outcome=Outcome.RETURNED,
        begun_at=now,
        finished_at=now,
    )


async def test_a_begun_run_ends_at_the_server_that_its_worker_came_to(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    begun = pair.here.begin(worker)
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "its server died")

    after, reconciled = await goes_over(pair.there, worker.session, begun)
    assert after.session is not None
    pair.there.engine.ended(after.session, [end_of(begun, pair.there)])
    await pair.there.engine.attempts.settled()

    found = await pair.there.run(run)
    assert (found.state, found.attempt) == (RunState.COMPLETED, 1)
    assert reconciled.void == ()
    assert after.session.id != worker.session.id
    assert after.session.worker.id == worker.session.worker.id


async def test_the_server_of_before_lets_go_and_loses_nothing(pair: Pair) -> None:
    """It still lives: a proxy led the worker elsewhere."""
    await pair.here.a_task()
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    begun = pair.here.begin(worker)
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "gone")
    after, _ = await goes_over(pair.there, worker.session, begun)

    await pair.here.engine.workers.look()

    assert worker.is_closed
    assert worker.session not in list(pair.here.engine._parts.sessions)
    assert (await pair.there.run(run)).state is RunState.RUNNING
    assert after.session is not None
    assert set(after.session.held) == {run.id}


async def test_a_server_that_gives_its_session_up_too_late_takes_nothing_away(pair: Pair) -> None:
    """R3: it has not heard yet that the worker is elsewhere."""
    await pair.here.a_task(policies=Policies(retry=RetryPolicy(retries=3)))
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    begun = pair.here.begin(worker)
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "gone")
    after, _ = await goes_over(pair.there, worker.session, begun)

    await pair.here.engine.disconnect(worker.session, "silent")
    await pair.here.engine.attempts.settled()

    assert (await pair.there.run(run)).state is RunState.RUNNING
    assert after.session is not None
    pair.there.engine.ended(after.session, [end_of(begun, pair.there)])
    await pair.there.engine.attempts.settled()
    assert (await pair.there.run(run)).attempt == 1


async def test_what_had_not_begun_goes_back_into_the_queue(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "gone")

    _, reconciled = await goes_over(pair.there, worker.session)

    assert reconciled.gone == frozenset({run.id})
    found = await pair.there.run(run)
    assert (found.state, found.attempt) == (RunState.QUEUED, 0)


async def test_of_two_servers_one_gets_the_worker(pair: Pair) -> None:
    worker = await a_member(pair.here)
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "gone")
    await goes_over(pair.there, worker.session)

    with pytest.raises(SessionLapsed):
        await goes_over(pair.there, worker.session)
    await pair.here.engine.workers.look()
    with pytest.raises(SessionLapsed):
        await goes_over(pair.here, worker.session)


async def test_after_the_leases_nobody_takes_a_session_over(pair: Pair) -> None:
    """Of a successor and a rescue exactly one has the runs."""
    await pair.here.a_task(policies=Policies(retry=RetryPolicy(retries=3)))
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    begun = pair.here.begin(worker)
    await pair.here.engine.attempts.record_beginnings()
    assert worker.session is not None
    pair.here.engine.cut_off(worker.session, "gone")
    pair.clock.advance(timedelta(seconds=11))
    await pair.there.engine.maintenance.rescue()

    with pytest.raises(SessionLapsed):
        await goes_over(pair.there, worker.session, begun)

    assert (await pair.there.run(run)).attempt == 1
    assert (await pair.there.run(run)).state is not RunState.RUNNING


async def test_lines_that_were_kept_before_are_not_kept_again(pair: Pair) -> None:
    await pair.here.a_task()
    worker = await a_member(pair.here)
    run = await pair.here.a_run()
    await worker.has_runs(1)
    begun = pair.here.begin(worker)
    await pair.here.engine.attempts.record_beginnings()
    now = pair.here.clock.now()
    lines = tuple(LogLine(n, now, LogLevel.INFO, f"line {n}", 1) for n in (1, 2, 3))
    assert worker.session is not None
    pair.here.engine.logged(worker.session, begun.run_id, begun.token, lines[:2], 0)
    await pair.here.engine.logs.flush()
    pair.here.engine.cut_off(worker.session, "gone")
    after, _ = await goes_over(pair.there, worker.session, begun)
    assert after.session is not None

    for told in (lines[:2], lines[2:]):
        pair.there.engine.logged(after.session, begun.run_id, begun.token, told, 0)
    await pair.there.engine.logs.flush()

    page = await pair.there.engine.logs.read(pair.there.company.id, run.id, LogLevel.TRACE, 0, 10)
    assert [line.text for line in page.lines] == ["line 1", "line 2", "line 3"]


async def test_a_name_is_one_live_workers_on_all_servers(pair: Pair) -> None:
    await a_member(pair.here)

    with pytest.raises(WorkerNameInUse, match="host-17"):
        await a_member(pair.there)


async def test_what_is_decided_at_one_server_holds_at_the_others(pair: Pair) -> None:
    created = await pair.here.engine.tokens.create(TokenKind.WORKER, None, role=Role.OPERATOR)
    known = msgspec.structs.replace(hello(), token_id=created.token.id)
    worker = HandWorker()
    session = worker.session = await pair.here.engine.connect(worker, known)
    elsewhere = pair.there.engine.workers
    found = await elsewhere.load(None, "far")
    assert (await elsewhere.view(found)).online

    await elsewhere.drain(found)
    await until(lambda: session.draining)
    await elsewhere.allow(found)
    await until(lambda: not session.draining)
    await elsewhere.keep_out(found)
    await until(lambda: worker.refusal == "locked")

    with pytest.raises(WorkerLocked):
        await pair.here.engine.connect(HandWorker(), known)


async def test_a_token_revoked_at_one_server_sends_workers_away_from_the_others(
    pair: Pair,
) -> None:
    created = await pair.here.engine.tokens.create(TokenKind.WORKER, None, role=Role.OPERATOR)
    worker = HandWorker()
    known = msgspec.structs.replace(hello(), token_id=created.token.id)
    worker.session = await pair.here.engine.connect(worker, known)

    await pair.there.engine.tokens.revoke(None, created.token.id)

    await until(lambda: worker.refusal == "token")
