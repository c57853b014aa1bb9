"""Executions of a head that came before are answered as any others: the same requests both ways."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from runyard.model.allocations import Overflow
from tests.dialects.automation_anywhere.conftest import Room
from tests.dialects.automation_anywhere.short_ways import Both, a_room, allocated, both_of
from tests.support.executions import bodies, messy_bodies
from tests.support.server import administrator_secret, client_of
from tests.support.wires import Answer, a_wire

each_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """A server on either database."""
    is_shared = request.param == "postgres"
    postgres = request.getfixturevalue("postgres_server") if is_shared else None
    async with a_room(postgres) as room:
        yield room


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mirror(place: Room) -> Both:
    return await both_of(place, "Mirror", limit=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deed(place: Room) -> Both:
    return await both_of(place, "Deed", limit=2, deadline=timedelta(seconds=1))


async def compared(both: Both, body: bytes) -> tuple[Answer, bool]:
    """The answer, which is the same on both ways; and whether the short one was there for it."""
    async with a_wire(both.room.server) as wire, a_wire(both.room.server) as other:
        ordinary = await both.ordinary(other, body)
        short, is_short = await both.short(wire, body)
    assert short.told == ordinary.told, body
    return short, is_short


def value_of(kind: str, held: object) -> dict[str, object]:
    return {"type": kind, kind.lower(): held}


PLAIN = {"a": value_of("NUMBER", "12"), "text": value_of("STRING", "12:30 ä")}


async def test_plain_input_takes_the_short_way_and_gets_the_same_answer(mirror: Both) -> None:
    for _ in range(3):  # on PostgreSQL, what was found out may be a second old just now
        answer, is_short = await compared(mirror, json.dumps({"botInput": PLAIN}).encode())
        if is_short:
            break

    assert is_short
    assert answer.status == 200
    found = answer.body.decode()
    assert "12:30 ä" in found
    assert answer.headers["x-execution-id"].isdigit()


@each_example
@given(bodies())
async def test_whatever_is_sent_is_answered_alike_on_both_ways(mirror: Both, body: bytes) -> None:
    await compared(mirror, body)


@each_example
@given(messy_bodies())
async def test_so_is_what_is_no_json_at_all(mirror: Both, body: bytes) -> None:
    await compared(mirror, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'{"botInput":null}',
        b'{"BotInput":{}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"1"},"a":{"type":"NUMBER","number":"2"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\u003a"},"text":null}}',
        b'{"botInput":{"unknown":{"type":"STRING","string":"x"}}}',
        b'{"botInput":{"A":{"type":"NUMBER","number":"1"}}}',
        b'{"botInput":{"a":{"type":"NUMBER","number":"1.5"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"1e400"}}}',
        b'{"botInput":{"b":{"type":"NUMBER","number":"-0"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\ud800"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\\u0000"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"\xff"}}}',
        b'{"botInput":{"flag":{"type":"BOOLEAN","boolean":"maybe"}}}',
        b'{"botInput":{"text":{"type":"FILE","string":"1"}}}',
        b'{"botInput":' + b"[" * 3000,
        b'{"botInput":{"text":{"type":"STRING","string":"' + b":" * 60_000 + b'"}}}',
        b'{"botInput":{"text":{"type":"STRING","string":"' + b"x" * 70_000 + b'"}}}',
    ],
)
async def test_the_known_troublemakers_are_answered_alike(mirror: Both, body: bytes) -> None:
    await compared(mirror, body)


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("well", 200),
        ("print", 200),
        ("long", 200),
        ("none", 200),
        ("wrong", 500),
        ("raise", 500),
        ("exit", 500),
        ("sleep", 500),
    ],
)
async def test_however_a_task_ends_the_answer_is_the_same(
    deed: Both, what: str, status: int
) -> None:
    body = json.dumps(
        {"botInput": {"what": value_of("STRING", what), "number": value_of("NUMBER", "7")}}
    ).encode()

    for _ in range(3):
        answer, is_short = await compared(deed, body)
        if is_short:
            break

    assert is_short
    assert answer.status == status
    record = await record_of(deed.room, answer.headers["x-execution-id"])
    assert record["input"] == {"what": what, "number": 7}
    assert (record["state"] == "completed") == (status == 200)


async def record_of(room: Room, execution: str) -> dict:
    """What is kept of an execution, a moment after its answer."""
    await room.server.engine.calls.records.flush()
    secret = administrator_secret(room.server)
    async with client_of(room.server, secret, "/companies/acme") as acme:
        answer = await acme.get(f"/runs/{execution}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_task_that_takes_files_has_no_short_way(place: Room) -> None:
    both = await both_of(place, "Paper")

    for _ in range(3):
        _, is_short = await compared(both, b'{"botInput":{"a":{"type":"NUMBER","number":"1"}}}')
        assert not is_short


# ---------------------------------------------------------------- many at once


@pytest.mark.parametrize("overflow", [Overflow.REJECT, Overflow.WAIT])
async def test_many_connections_get_their_own_answers_and_no_more_execute_than_may(
    place: Room, overflow: Overflow
) -> None:
    limit, connections, rounds = 3, 200, 3
    both = await both_of(place, "Sleep", limit=limit)
    await allocated(place, "Sleep", limit=limit, overflow=overflow, wait=timedelta(seconds=60))
    before = both.shortened

    async def one(number: int) -> list[tuple[int, Answer]]:
        answers = []
        async with a_wire(place.server) as wire:
            for each in range(rounds):
                mine = number * rounds + each
                values = {"number": value_of("NUMBER", str(mine))}
                body = json.dumps({"botInput": values}).encode()
                anew = b"\r\n" if mine % 7 == 0 else b""
                answers.append((mine, await wire.post(both.head(len(body)), body, before=anew)))
        return answers

    async with asyncio.timeout(120):
        answered = await asyncio.gather(*map(one, range(connections)))
    found = [each for answers in answered for each in answers]

    assert len(found) == connections * rounds
    done = [(mine, answer) for mine, answer in found if answer.status == 200]
    assert {answer.status for _, answer in found} <= {200, 429}
    assert len(done) == len(found) if overflow is Overflow.WAIT else len(done) >= limit
    spans = []
    for mine, answer in done:
        text = json.loads(answer.body)["hotBotResult"]["botOutput"]["result"]["string"]
        number, begun, ended = text.split()
        assert int(number) == mine
        spans.append((float(begun), float(ended)))
    ids = [answer.headers["x-execution-id"] for _, answer in done]
    assert len(set(ids)) == len(ids)
    assert most_at_once(spans) <= limit
    assert both.shortened > before
    [kept] = [
        kept
        for kept in place.server.engine.allocations.all_kept
        if kept.allocation.task_id == place.ids["Sleep"]
    ]
    assert (kept.in_flight, kept.places.taken, len(kept.waiting)) == (0, 0, 0)
    recorded = await record_of(place, ids[-1])
    assert recorded["input"]["number"] == done[-1][0]


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many of these were under way at the same moment."""
    steps = sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
