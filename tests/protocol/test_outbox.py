"""What a worker keeps until it has arrived, over a connection that loses, doubles and delays."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.ids import RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome
from runyard.protocol import frames, outbox
from runyard.protocol.codec import FRAME_LIMIT, encode
from runyard.protocol.outbox import MOST_LINES, MUCH, Outbox, in_frames

AT = datetime(2026, 3, 1, tzinfo=UTC)


def lines(run, *numbers, size=10):
    text = "x" * size
    found = tuple(LogLine(number, AT, LogLevel.INFO, text, 1) for number in numbers)
    return frames.LogLines(RunId(run), run * 10, found)


def an_end(run, size=None):
    output = None if size is None else msgspec.Raw(b'"' + b"y" * size + b'"')
    return frames.End(
        run_id=RunId(run),
        token=run * 10,
        outcome=Outcome.RETURNED,
        finished_at=AT,
        output=output,
    )


def lease(run):
    return frames.Lease(RunId(run), run * 10)


def test_ends_are_said_again_until_they_are_recorded():
    box = Outbox()
    box.keep(frames.Ended((an_end(1), an_end(2))))
    box.beat(1)
    box.confirmed(1)  # heard is not recorded

    assert box.ended == (lease(1), lease(2))
    box.recorded((lease(1), lease(9)))

    assert box.again() == [frames.Ended((an_end(2),))]


def test_lines_are_said_again_until_a_later_heartbeat_has_arrived():
    box = Outbox()
    box.keep(lines(1, 1))
    box.beat(1)
    box.keep(lines(1, 2))
    box.beat(2)
    box.keep(lines(1, 3))

    box.confirmed(1)

    assert box.again() == [lines(1, 2), lines(1, 3)]


def test_heartbeats_of_an_earlier_connection_confirm_nothing():
    box = Outbox()
    box.keep(lines(1, 1))
    box.beat(1)
    box.again()

    box.confirmed(1)

    assert box.again() == [lines(1, 1)]


def test_lines_come_before_the_ends_of_their_runs():
    box = Outbox()
    box.keep(lines(1, 1))
    box.keep(frames.Ended((an_end(1),)))

    assert box.again() == [lines(1, 1), frames.Ended((an_end(1),))]


def test_of_what_is_void_nothing_is_said():
    box = Outbox()
    for frame in (lines(1, 1), lines(2, 1), frames.Ended((an_end(1), an_end(2)))):
        box.keep(frame)

    box.forget((lease(1),))

    assert box.again() == [lines(2, 1), frames.Ended((an_end(2),))]


def test_what_can_be_said_again_otherwise_is_not_kept():
    box = Outbox()
    for frame in (frames.Capacity(3), frames.Begun(()), frames.Progress(RunId(1), 10, 1.0)):
        box.keep(frame)

    assert box.again() == []


def test_kept_lines_are_bounded_and_the_oldest_leave():
    """R12"""
    box = Outbox()
    for number in range(40):
        box.keep(lines(1, number, size=MOST_LINES // 10))

    kept = [frame.lines[0].number for frame in box.again()]
    assert kept == list(range(40 - len(kept), 40))
    assert 5 <= len(kept) <= 10


def test_much_that_is_kept_asks_for_a_heartbeat():
    box = Outbox()
    box.keep(lines(1, 1, size=MUCH))
    assert box.wants_heartbeat

    box.beat(1)

    assert not box.wants_heartbeat


def test_ends_with_large_outputs_go_in_frames_that_are_allowed():
    ends = [an_end(run, size=4 * 1024 * 1024 - 2) for run in range(1, 12)] + [an_end(20)]

    gathered = in_frames(ends)

    assert [end for frame in gathered for end in frame.ends] == ends
    assert all(len(encode(frame)) < FRAME_LIMIT for frame in gathered)
    assert len(in_frames([an_end(run) for run in range(1000)])) == 1
    assert in_frames([]) == []


class Hearing:
    """A server that hears some of what is said, in order, and loses its memory of connections."""

    def __init__(self):
        self.lines = {}
        self.ends = {}

    def hear(self, frame):
        if isinstance(frame, frames.LogLines):
            if frame.lines[-1].number > self.lines.get(frame.run_id, [0])[-1]:
                self.lines.setdefault(frame.run_id, [0]).append(frame.lines[-1].number)
        elif isinstance(frame, frames.Ended):
            for end in frame.ends:
                self.ends.setdefault(end.run_id, end)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("line"), st.integers(1, 3)),
            st.tuples(st.just("end"), st.integers(1, 3)),
            st.tuples(st.just("beat"), st.booleans()),
            st.tuples(st.just("break"), st.integers(0, 6)),
            st.tuples(st.just("record"), st.booleans()),
        ),
        max_size=40,
    )
)
def test_whatever_breaks_everything_arrives_once_and_in_order(steps):
    """A connection carries a first part of what is said on it; the rest is lost with it."""
    box, server, beats = Outbox(), Hearing(), 0
    said, numbers, ended = [], {}, set()  # said: on this connection, not carried yet

    def carry(count):
        for frame in said[:count]:
            server.hear(frame)
        del said[:count]

    for what, value in steps:
        if what == "line" and value not in ended:
            numbers[value] = numbers.get(value, 0) + 1
            box.keep(frame := lines(value, numbers[value]))
            said.append(frame)
        elif what == "end" and value not in ended:
            ended.add(value)
            box.keep(frame := frames.Ended((an_end(value),)))
            said.append(frame)
        elif what == "beat":
            beats += 1
            box.beat(beats)
            if value:  # it arrives, and so does everything before it; the answer comes
                carry(len(said))
                box.confirmed(beats)
        elif what == "record":
            box.recorded(tuple(lease(run) for run in server.ends))
        else:
            carry(value)
            said[:] = box.again()
    said[:] = box.again()
    carry(len(said))

    assert {run: found[1:] for run, found in server.lines.items()} == {
        run: list(range(1, last + 1)) for run, last in numbers.items()
    }
    assert set(server.ends) == ended
    assert outbox.FRAME_FILL < FRAME_LIMIT
