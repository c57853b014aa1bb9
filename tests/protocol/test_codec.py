"""Frames survive the wire as they are; what is not a frame is refused."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.ids import AllocationId, CompanyId, FileId, RunId, SessionId, VersionId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome, RunError
from runyard.protocol import codec, frames

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = frames.Lease(RunId(1), 2)
RAW = msgspec.Raw(b'{"a":[1,2.5,null,"\\u00e9"]}')

FROM_WORKER = [
    frames.Hello(protocol=(2,), name="n", version="v", host="h", os="o", python="p", slots=2),
    frames.Heartbeat(2, 3),
    frames.Capacity(4),
    frames.Begun((frames.Start(RunId(1), 2, AT),)),
    frames.Ended(
        (
            frames.End(
                run_id=RunId(1),
                token=2,
                outcome=Outcome.RETURNED,
                begun_at=AT,
                finished_at=AT,
                output=RAW,
            ),
            frames.End(
                run_id=RunId(2),
                token=3,
                outcome=Outcome.KILLED,
                finished_at=AT,
                error=RunError(kind="Killed", message="m"),
                signal=9,
            ),
        )
    ),
    frames.LogLines(RunId(1), 2, (LogLine(1, AT, LogLevel.INFO, "text"),), 3),
    frames.Progress(RunId(1), 2, 0.5, None),
    frames.StepDone(1, RunId(1), 2, "name", 0, RAW),
    frames.Recalled(1, (LEASE,)),
    frames.Killed(1, (LEASE,)),
    frames.Inspected(1, (), frames.CodeProblem(reason="r", file="f", line=1)),
    frames.InspectionLine(1, "text"),
    frames.BlobWanted("digest", 5),
    frames.FileOffered(transfer=1, run_id=RunId(1), token=2, name="n", content_type="c", size=3),
    frames.FilePart(1, b"\x00\xff", last=True),
    frames.Goodbye("detail"),
]
FROM_WORKER += [
    frames.Warmed(
        allocation_id=AllocationId(1), version_id=VersionId(2), children=3, memory=4, error=None
    ),
    frames.CallEnded(
        run_id=RunId(1),
        version_id=VersionId(2),
        outcome=Outcome.RETURNED,
        begun_at=AT,
        finished_at=AT,
        output=b'{"a":1}',
    ),
]

FROM_SERVER = [
    frames.Warm(
        allocation_id=AllocationId(1),
        version_id=VersionId(2),
        children=3,
        deadline=timedelta(seconds=60),
    ),
    frames.Call(AllocationId(1), RunId(2), "public", b'{"a":1}'),
    frames.Welcome(
        protocol=2,
        session_id=SessionId(1),
        lease=timedelta(seconds=10),
        heartbeat=timedelta(seconds=3),
    ),
    frames.Pending(timedelta(seconds=3), "detail"),
    frames.Refusal("token", "detail"),
    frames.Renewed(3),
    frames.Recorded((LEASE,)),
    frames.Introduction(
        version_id=VersionId(1),
        company_id=CompanyId(1),
        company="acme",
        task="t",
        bundle_digest="d",
        module="m",
        function="f",
        timeout=timedelta(seconds=1.5),
    ),
    frames.Assignments(
        (
            frames.Assignment(
                RunId(1), 2, VersionId(1), "public", 1, RAW, (frames.Step("s", 0, RAW),)
            ),
        )
    ),
    frames.Recall(1, (LEASE,)),
    frames.Kill(1, (LEASE,)),
    frames.StepRecorded(1, lost=True),
    frames.Inspect(request=1, company_id=CompanyId(1), company="acme", bundle_digest="d"),
    frames.BlobPart("digest", 0, b"data", 4),
    frames.FileStored(1, FileId(2)),
    frames.FileTaken(1, 4096),
    frames.Drain(),
]


def shown(frame):
    """Raw values compare by identity; their text does not."""
    return msgspec.to_builtins(frame, enc_hook=str) if not _raws(frame) else repr(_plain(frame))


def _raws(value):
    return "Raw" in repr(value)


def _plain(value):
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return value


@pytest.mark.parametrize("frame", FROM_WORKER, ids=lambda frame: type(frame).__name__)
def test_what_a_worker_sends_arrives_as_it_was(frame):
    assert shown(codec.decode_from_worker(codec.encode(frame))) == shown(frame)


@pytest.mark.parametrize("frame", FROM_SERVER, ids=lambda frame: type(frame).__name__)
def test_what_a_server_sends_arrives_as_it_was(frame):
    assert shown(codec.decode_from_server(codec.encode(frame))) == shown(frame)


def test_every_frame_is_tried_above():
    tried = {type(frame) for frame in FROM_WORKER + FROM_SERVER}

    assert tried == {*frames.FromWorker.__args__, *frames.FromServer.__args__}


def test_an_end_on_the_wire_has_every_field_of_an_end():
    wire = codec.decode_from_worker(codec.encode(FROM_WORKER[4])).ends[0]

    assert type(wire) is frames.End
    assert codec._WireEnd.__struct_fields__ == frames.End.__struct_fields__


def test_unknown_fields_are_ignored():
    data = msgspec.msgpack.encode({"t": "capacity", "runs": 4, "colour": "green"})

    assert codec.decode_from_worker(data) == frames.Capacity(4)


def test_an_unknown_frame_is_an_error():
    with pytest.raises(codec.ProtocolViolation):
        codec.decode_from_worker(msgspec.msgpack.encode({"t": "dance"}))


def test_a_frame_of_the_other_end_is_an_error():
    with pytest.raises(codec.ProtocolViolation):
        codec.decode_from_server(codec.encode(frames.Capacity(4)))


def test_too_large_a_frame_is_refused_both_ways():
    with pytest.raises(codec.ProtocolViolation):
        codec.encode(frames.FilePart(1, bytes(codec.FRAME_LIMIT), last=True))
    with pytest.raises(codec.ProtocolViolation):
        codec.decode_from_worker(bytes(codec.FRAME_LIMIT + 1))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data):
    for decode in (codec.decode_from_worker, codec.decode_from_server):
        try:
            decode(data)
        except codec.ProtocolViolation:
            continue
