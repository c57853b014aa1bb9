"""Two sessions joined, over a connection that drops, doubles and mixes up what it carries."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.ids import CompanyId, RunId, SessionId, VersionId
from runyard.model.runs import Outcome
from runyard.protocol import frames
from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.memory import memory_pair
from runyard.protocol.session import (
    LEASE_MARGIN,
    Monotonic,
    ServerSession,
    SessionState,
    WorkerSession,
    agree,
)

LEASE = timedelta(seconds=10)
HELLO = frames.Hello(protocol=(2,), name="n", version="v", host="h", os="o", python="p", slots=2)
WELCOME = frames.Welcome(
    protocol=2, session_id=SessionId(1), lease=LEASE, heartbeat=timedelta(seconds=3)
)


def joined(now=0.0, *, sent_is_heard=False):
    """A worker and a server that have greeted each other."""
    worker, server = WorkerSession(sent_is_heard=sent_is_heard), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(now)), Monotonic(now))
    worker.receive(server.welcome(WELCOME, Monotonic(now)), Monotonic(now))
    return worker, server


def test_two_sessions_open_each_other():
    worker, server = joined()

    assert worker.state is server.state is SessionState.OPEN
    assert worker.welcome.session_id == 1


def test_the_newest_common_version_is_agreed_upon():
    assert agree((1, 2, 3), (2, 3, 4)) == 3
    assert agree((1,), (2,)) is None


def test_a_server_that_agreed_on_nothing_can_only_refuse():
    worker, server = WorkerSession(), ServerSession()
    old = frames.Hello(protocol=(1,), name="n", version="v", host="h", os="o", python="p", slots=2)
    server.receive(worker.greet(old, Monotonic(0)), Monotonic(0))

    assert server.protocol is None
    with pytest.raises(ProtocolViolation):
        server.welcome(WELCOME, Monotonic(0))
    worker.receive(server.refuse("protocol", "too old"), Monotonic(0))

    assert worker.refusal.code == "protocol"
    assert worker.state is server.state is SessionState.ENDED


def pended(now=0.0):
    """A worker that has to wait for its welcome."""
    worker, server = WorkerSession(), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(now)), Monotonic(now))
    pending = frames.Pending(timedelta(seconds=3), "not allowed yet")
    worker.receive(server.keep_waiting(pending, LEASE, Monotonic(now)), Monotonic(now))
    return worker, server


def test_a_worker_that_waits_gives_signs_of_life_and_says_nothing_else():
    worker, server = pended()

    assert worker.heartbeat_due_at == 3
    assert worker.give_up_at is None
    worker.receive(server.receive(worker.heartbeat(0, Monotonic(3)), Monotonic(4)), Monotonic(5))
    with pytest.raises(ProtocolViolation):
        server.receive(frames.Capacity(2), Monotonic(5))

    assert not server.has_expired(Monotonic(13))
    assert server.has_expired(Monotonic(14))


def test_the_leases_of_a_worker_that_waited_count_from_its_last_sign_of_life():
    worker, server = pended()
    worker.receive(server.receive(worker.heartbeat(0, Monotonic(90)), Monotonic(91)), Monotonic(92))

    worker.receive(server.welcome(WELCOME, Monotonic(93)), Monotonic(95))

    assert worker.give_up_at == 90 + (LEASE - LEASE_MARGIN).total_seconds()
    assert server.lease_ends_at == 93 + LEASE.total_seconds()


def test_a_heartbeat_without_an_answer_tells_that_nobody_listens():
    worker, server = joined()

    beat = worker.heartbeat(0, Monotonic(3))
    worker.heartbeat(0, Monotonic(4))
    assert worker.deaf_at == 6
    worker.receive(server.receive(beat, Monotonic(4)), Monotonic(5))

    assert worker.deaf_at == 7


KEYED = msgspec.structs.replace(WELCOME, key="secret")
RESUMED = msgspec.structs.replace(KEYED, session_id=SessionId(2), resumed=True)


def broken(now=0.0, *, heard_at=None):
    """The standing of a worker whose connection broke."""
    worker, server = WorkerSession(), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(now)), Monotonic(now))
    worker.receive(server.welcome(KEYED, Monotonic(now)), Monotonic(now))
    if heard_at is not None:
        beat = worker.heartbeat(0, Monotonic(heard_at))
        worker.receive(server.receive(beat, Monotonic(heard_at)), Monotonic(heard_at))
    worker.end()
    return worker.standing


def test_a_session_outlives_its_connection_until_its_leases_end():
    standing = broken(heard_at=3)

    assert (standing.session_id, standing.key) == (1, "secret")
    assert standing.give_up_at == 3 + (LEASE - LEASE_MARGIN).total_seconds()
    assert WorkerSession(standing=standing).give_up_at == standing.give_up_at


def test_trying_to_come_back_renews_nothing_and_being_welcomed_does():
    worker, server = WorkerSession(standing=broken()), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(6)), Monotonic(7))
    assert worker.give_up_at == (LEASE - LEASE_MARGIN).total_seconds()

    worker.receive(server.welcome(RESUMED, Monotonic(7)), Monotonic(7.5))

    assert worker.give_up_at == 6 + (LEASE - LEASE_MARGIN).total_seconds()
    assert worker.standing.session_id == 2


def test_a_connection_that_breaks_before_the_welcome_leaves_the_standing_as_it_was():
    standing = broken(heard_at=3)
    worker = WorkerSession(standing=standing)
    worker.greet(HELLO, Monotonic(5))

    worker.end()

    assert worker.standing == standing


def test_a_refusal_ends_the_session_for_its_worker_too():
    worker, server = WorkerSession(standing=broken()), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(1)), Monotonic(1))

    worker.receive(server.refuse("lapsed", "too late"), Monotonic(1))

    assert worker.standing is None


@pytest.mark.parametrize("standing", [None, "asked for"])
def test_a_welcome_answers_what_was_asked(standing):
    worker, server = WorkerSession(standing=broken() if standing else None), ServerSession()
    server.receive(worker.greet(HELLO, Monotonic(1)), Monotonic(1))

    with pytest.raises(ProtocolViolation):
        worker.receive(server.welcome(KEYED if standing else RESUMED, Monotonic(1)), Monotonic(1))


def test_without_a_key_nothing_is_gone_on_with():
    worker, _ = joined()

    worker.end()

    assert worker.standing is None


def test_nothing_may_be_said_before_the_welcome():
    worker, server = WorkerSession(), ServerSession()
    worker.greet(HELLO, Monotonic(0))

    with pytest.raises(ProtocolViolation):
        worker.receive(frames.Drain(), Monotonic(0))
    with pytest.raises(ProtocolViolation):
        server.receive(frames.Capacity(2), Monotonic(0))


def test_a_second_hello_is_a_violation():
    _, server = joined()

    with pytest.raises(ProtocolViolation):
        server.receive(HELLO, Monotonic(1))


def test_a_heartbeat_renews_only_once_it_is_known_to_have_been_heard():
    worker, server = joined()
    before = worker.give_up_at
    beat = worker.heartbeat(0, Monotonic(3))

    assert worker.give_up_at == before
    worker.receive(server.receive(beat, Monotonic(4)), Monotonic(5))

    assert worker.give_up_at == 3 + (LEASE - LEASE_MARGIN).total_seconds()
    assert server.lease_ends_at == 4 + LEASE.total_seconds()


def test_where_sending_is_arriving_a_heartbeat_renews_at_once():
    worker, _ = joined(sent_is_heard=True)

    worker.heartbeat(0, Monotonic(3))

    assert worker.give_up_at == 3 + (LEASE - LEASE_MARGIN).total_seconds()


def test_heartbeats_are_due_in_the_rhythm_of_the_welcome():
    worker, _ = joined(now=100.0)
    assert worker.heartbeat_due_at == 103.0

    worker.heartbeat(1, Monotonic(103.5))

    assert worker.heartbeat_due_at == 106.5


def test_a_request_that_comes_twice_is_acted_upon_once():
    worker, server = joined()
    recall = frames.Recall(server.ask(frames.Recalled), ())

    assert worker.receive(recall, Monotonic(1))
    assert not worker.receive(recall, Monotonic(1))


def test_an_answer_is_taken_once_and_only_for_what_was_asked():
    _, server = joined()
    request = server.ask(frames.Recalled)

    assert not server.settle(frames.Killed(request, ()))
    assert not server.settle(frames.Recalled(request + 1, ()))
    assert server.settle(frames.Recalled(request, ()))
    assert not server.settle(frames.Recalled(request, ()))


def test_an_answer_to_a_step_that_nobody_asked_about_changes_nothing():
    worker, _ = joined()
    request = worker.ask()

    assert not worker.receive(frames.StepRecorded(request + 1), Monotonic(1))
    assert worker.receive(frames.StepRecorded(request), Monotonic(1))
    assert not worker.receive(frames.StepRecorded(request), Monotonic(1))


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["beat", "ask", "deliver", "drop", "double", "swap", "wait"]),
        st.sampled_from(["up", "down"]),
        st.floats(min_value=0, max_value=4),
    ),
    max_size=80,
)


@given(FAULTS)
def test_whatever_a_connection_does_the_worker_gives_up_before_the_server_does(  # noqa: C901 - one table of faults
    events,
):
    worker, server = joined()
    wires = {"up": [], "down": []}
    asked, acted, settled = [], [], []
    now = 0.0

    def arrive(direction, frame):
        if direction == "up":
            if isinstance(frame, frames.Recalled):
                if server.settle(frame):
                    settled.append(frame.request)
                return
            answer = server.receive(frame, Monotonic(now))
            if answer is not None:
                wires["down"].append(answer)
        elif worker.receive(frame, Monotonic(now)) and isinstance(frame, frames.Recall):
            acted.append(frame.request)
            wires["up"].append(frames.Recalled(frame.request, frame.runs))

    for kind, direction, seconds in events:
        wire = wires[direction]
        match kind:
            case "wait":
                now += seconds
            case "beat":
                wires["up"].append(worker.heartbeat(0, Monotonic(now)))
            case "ask":
                asked.append(server.ask(frames.Recalled))
                wires["down"].append(frames.Recall(asked[-1], (frames.Lease(RunId(1), 1),)))
            case "drop" if wire:
                wire.pop(0)
            case "double" if wire:
                wire.append(wire[0])
            case "swap" if len(wire) > 1:
                wire[0], wire[-1] = wire[-1], wire[0]
            case "deliver" if wire:
                arrive(direction, wire.pop(0))
        margin = LEASE_MARGIN.total_seconds()
        assert worker.give_up_at <= server.lease_ends_at - margin + 1e-9

    assert len(acted) == len(set(acted))
    assert len(settled) == len(set(settled))
    assert set(settled) <= set(acted) <= set(asked)


def test_frames_in_memory_arrive_in_order_and_in_batches():
    soon = []
    worker, server = memory_pair(soon.append)
    heard, ended = [], []
    worker.send(frames.Capacity(1))
    server.listen(heard.append, ended.append)
    worker.send(frames.Capacity(2))
    worker.close("over")
    worker.send(frames.Capacity(3))

    while soon:
        soon.pop(0)()

    assert heard == [[frames.Capacity(1), frames.Capacity(2)]]
    assert ended == ["over"]


def test_an_end_is_never_entered_while_it_is_at_work():
    soon = []
    worker, server = memory_pair(soon.append)
    depth, deepest = 0, 0

    def answer(arrived):
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        for frame in arrived:
            if frame.runs < 5:
                server.send(
                    frames.Inspect(
                        request=frame.runs, company_id=CompanyId(1), company="a", bundle_digest="d"
                    )
                )
        depth -= 1

    server.listen(answer, lambda detail: None)
    worker.listen(
        lambda arrived: [worker.send(frames.Capacity(f.request + 1)) for f in arrived],
        lambda detail: None,
    )
    worker.send(frames.Capacity(0))
    while soon:
        soon.pop(0)()

    assert deepest == 1


def test_the_end_of_a_call_arrives_at_once_unless_something_was_said_before_it():
    soon = []
    worker, server = memory_pair(soon.append)
    heard = []
    server.listen(heard.extend, lambda detail: None)
    while soon:
        soon.pop(0)()
    first, second = (
        frames.CallEnded(
            run_id=RunId(number),
            version_id=VersionId(1),
            outcome=Outcome.RETURNED,
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for number in (1, 2)
    )

    worker.send(first)

    assert heard == [first]
    worker.send(frames.Capacity(1))
    worker.send(second)
    assert heard == [first]
    while soon:
        soon.pop(0)()
    assert heard == [first, frames.Capacity(1), second]
