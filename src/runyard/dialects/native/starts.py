"""Starting runs: the hot route of the native API.

One pass over the headers, one decode, one call of the engine, one encode. Whatever can be refused
without the body is refused before it is read.
"""

import asyncio
import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from runyard.engine.at_once import WITHIN
from runyard.engine.callbacks import CallbackRequest
from runyard.engine.engine import Engine
from runyard.engine.starts import IdempotencyKey, Started, StartRequest
from runyard.engine.starts import StartedRun as EngineStartedRun
from runyard.model.companies import Company
from runyard.model.errors import Overloaded
from runyard.model.ids import ActorId
from runyard.model.tokens import Permission, TokenKind
from runyard.protocol.shapes.runs import MOST_RUNS_A_START, NewRun, NewRuns
from runyard.web.admission import load_company
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.authentication import authenticate
from runyard.web.house import House
from runyard.web.permissions import demand
from runyard.web.requests import demand_json, read_body, refused
from runyard.web.responses import ENCODER, send_bytes
from runyard.web.validation import struct_from_json

_LONGEST_KEY = 255
_NO_INPUT = b"{}"


class _Start(NewRun, frozen=True, kw_only=True):
    """Both forms of the body in one shape, so that one decode reads either."""

    task: str | UnsetType = UNSET  # type: ignore[assignment]
    runs: tuple[NewRun, ...] | UnsetType = UNSET


class _Answer(msgspec.Struct, frozen=True):
    runs: tuple[EngineStartedRun, ...]


async def start_runs(
    house: House, params: Mapping[str, str], scope: Scope, receive: Receive, send: Send
) -> None:
    """Start one run, or several.

    Several start all or none. When this is answered, they are on disk. With an `Idempotency-Key`
    the same request again answers the same runs, and starts nothing.
    """
    engine = house.engine
    headers: dict[bytes, bytes] = dict(scope["headers"])
    token = await authenticate(engine.tokens, headers.get(b"authorization"), TokenKind.NATIVE)
    company = await load_company(engine, params["company"], token)
    demand(Permission.OPERATE, token, company)
    house.refuse_while_stopping()
    if house.pressure.is_high:
        house.pressure.refuse(engine.clock.monotonic())
    demand_json(headers)
    body = await read_body(headers, receive, house.limits.starts)
    asked = struct_from_json(body, _Start)
    key = _key_from(headers.get(b"idempotency-key"), body)
    is_single = asked.runs is UNSET
    by = ActorId(token.id)
    requests = [_single(asked, by)] if asked.runs is UNSET else _several(asked, asked.runs, by)
    try:
        started = await engine.starts.start(company, requests, key=key)
    except Overloaded as refused_now:
        house.pressure.note(refused_now, engine.clock.monotonic())
        raise
    if any(request.begins_within for request in requests) and not started.repeated:
        started = await _settled(engine, company, requests, started)
    answer = ENCODER.encode(started.runs[0] if is_single else _Answer(started.runs))
    await send_bytes(send, 201, answer, extra=_extra(started))


async def _settled(
    engine: Engine, company: Company, requests: list[StartRequest], started: Started
) -> Started:
    """What was started, once those runs that are not to wait have a slot or have failed."""
    now = [
        run.id
        for request, run in zip(requests, started.runs, strict=True)
        if request.begins_within is not None
    ]
    await asyncio.gather(*(engine.at_once.settled(company, run) for run in now))
    states = {run.id: run.state for run in await engine.runs.find_many(company, now)}
    return msgspec.structs.replace(
        started,
        runs=tuple(
            msgspec.structs.replace(run, state=states.get(run.id, run.state))
            for run in started.runs
        ),
    )


def _single(asked: _Start, by: ActorId) -> StartRequest:
    if asked.task is UNSET:
        raise refused("task", "nothing", "it must be given, or `runs`")
    return _request(asked, by)


def _several(asked: _Start, runs: tuple[NewRun, ...], by: ActorId) -> list[StartRequest]:
    if asked.task is not UNSET or asked.input is not UNSET:
        raise refused("runs", "`task` or `input` beside it", "either one run or `runs`")
    if not 1 <= len(runs) <= MOST_RUNS_A_START:
        raise refused("runs", f"{len(runs)} runs", f"1 to {MOST_RUNS_A_START}")
    return [_request(run, by) for run in runs]


def _request(run: NewRun, by: ActorId) -> StartRequest:
    if run.at_once and (run.parked or run.due_at is not None):
        raise refused("at_once", "true", "false beside `parked` or `due_at`")
    return StartRequest(
        task=run.task,
        input=_NO_INPUT if run.input is UNSET else bytes(run.input),
        priority=run.priority,
        due_at=run.due_at,
        parked=run.parked,
        begins_within=WITHIN if run.at_once else None,
        by=by,
        callbacks=(
            tuple(
                CallbackRequest(url=callback.url, headers=callback.headers)
                for callback in run.callbacks
            )
            if run.callbacks
            else ()
        ),
    )


def _key_from(header: bytes | None, body: bytes) -> IdempotencyKey | None:
    if header is None:
        return None
    if not 1 <= len(header) <= _LONGEST_KEY or not header.isascii() or b"\x00" in header:
        raise refused("Idempotency-Key", "another text", f"1 to {_LONGEST_KEY} ASCII characters")
    return IdempotencyKey(text=header.decode(), request_digest=hashlib.sha256(body).digest())


def _extra(started: Started) -> list[tuple[bytes, bytes]] | None:
    return [(b"idempotent-replayed", b"true")] if started.repeated else None


# Read here so that a shape that cannot be decoded fails the start of the server, not a request.
msgspec.json.Decoder(_Start)
msgspec.json.Decoder(NewRuns)
