"""The client, on a server that answers as told. Every test runs on both clients."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runyard.model.errors import (
    Busy,
    CodeRefused,
    Forbidden,
    InputRefused,
    NotFound,
    Overloaded,
    Refused,
    RunNotFound,
)
from runyard.sdk.client import (
    Archive,
    AsyncClient,
    Client,
    RunFilter,
    ServerBroken,
    ServerUnreachable,
    failures,
)
from runyard.sdk.client.shapes import RunLines
from tests.cli.scripted_server import Reply, events, problem, scripted_server

ANSWER = timedelta(microseconds=1)
STARTED = Reply(201, b'{"id": 7, "public_id": "AZr8", "state": "queued"}')
CODE = Archive(name="code", content=b"PK", files=("task.py",))


class Both:
    """Calls a method of either client, and returns when it is done."""

    def __init__(self, kind: type[Client] | type[AsyncClient]) -> None:
        self._kind = kind

    def __call__(self, url: str, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._kind is Client:
            with Client(url, "secret", company="acme") as client:
                return getattr(client, method)(*args, **kwargs)
        return asyncio.run(
            self._awaited(url, lambda client: getattr(client, method)(*args, **kwargs))
        )

    def listened(self, url: str, run_id: int) -> list[Any]:
        """All events of a run."""
        if self._kind is Client:
            with Client(url, "secret", company="acme") as client:
                return list(client.events(run_id))

        async def collect(client: AsyncClient) -> list[Any]:
            return [event async for event in client.events(run_id)]

        found: list[Any] = asyncio.run(self._awaited(url, collect))
        return found

    async def _awaited(self, url: str, use: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
        async with AsyncClient(url, "secret", company="acme") as client:
            return await use(client)


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setattr(failures, "FIRST_PAUSE", ANSWER)
    return Both(request.param)


def test_a_start_says_who_asks_and_carries_a_key(call: Both) -> None:
    with scripted_server(STARTED) as server:
        run = call(server.url, "start", "Zip code", {"zip": "76131"}, priority=20)

    [asked] = server.asked
    assert run.id == 7
    assert (asked.method, asked.path) == ("POST", "/runyard/v1/companies/acme/runs")
    assert asked.headers["authorization"] == "Bearer secret"
    assert asked.headers["content-type"] == "application/json"
    assert len(asked.headers["idempotency-key"]) >= 16
    assert msgspec.json.decode(asked.body) == {
        "task": "Zip code",
        "input": {"zip": "76131"},
        "priority": 20,
    }


def test_a_busy_server_is_asked_again_under_the_same_key(call: Both) -> None:
    busy = problem(503, "overloaded", "later", **{"retry-after": "0"})
    with scripted_server(busy, busy, STARTED) as server:
        run = call(server.url, "start", "Zip code")

    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert run.id == 7
    assert len(server.asked) == 3
    assert len(keys) == 1


def test_a_lost_answer_to_a_start_is_met_by_asking_again(call: Both) -> None:
    with scripted_server(Reply(201, b'{"id"', cut=True), STARTED) as server:
        run = call(server.url, "start", "Zip code")

    assert run.id == 7
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1


def test_a_server_that_stays_busy_is_given_up(call: Both) -> None:
    busy = problem(503, "overloaded", "later", **{"retry-after": "0"})
    with scripted_server(busy) as server, pytest.raises(Overloaded, match="later"):
        call(server.url, "start", "Zip code")

    assert len(server.asked) == failures.MOST_TRIES


def test_what_may_do_more_when_done_twice_is_asked_once(call: Both) -> None:
    with scripted_server(problem(503, "busy", "later")) as server, pytest.raises(Busy):
        call(server.url, "restart", 7)

    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (problem(404, "run_not_found", "no run 7"), RunNotFound),
        (problem(404, "of_a_newer_server", "no run 7"), NotFound),
        (problem(403, "forbidden", "no run 7"), Forbidden),
        (problem(418, "teapot", "no run 7"), Refused),
        (problem(500, "", "no run 7"), ServerBroken),
        (Reply(502, b"<html>no run 7</html>"), ServerBroken),
    ],
)
def test_a_refusal_is_raised_as_the_servers_error(
    call: Both, reply: Reply, expected: type[Exception]
) -> None:
    with scripted_server(reply) as server, pytest.raises(expected) as raised:
        call(server.url, "run", 7)

    assert type(raised.value) is expected


def test_wrong_values_are_named(call: Both) -> None:
    body = {
        "code": "input_refused",
        "detail": "wrong",
        "problems": [{"field": "input.zip", "seen": "17", "allowed": "text"}],
    }
    refusal = Reply(400, msgspec.json.encode(body))
    with scripted_server(refusal) as server, pytest.raises(InputRefused) as raised:
        call(server.url, "start", "Zip code", {"zip": 17})

    [found] = raised.value.problems
    assert (found.field, found.seen, found.allowed) == ("input.zip", "17", "text")


def test_nobody_at_the_address_is_said_so(call: Both) -> None:
    with scripted_server(STARTED) as server:
        gone = server.url

    with pytest.raises(ServerUnreachable, match=gone):
        call(gone, "run", 7)


def test_an_answer_that_makes_no_sense_is_not_taken_for_one(call: Both) -> None:
    with scripted_server(Reply(200, b'{"id": "seven"}')) as server, pytest.raises(ServerBroken):
        call(server.url, "run", 7)


def test_lists_are_read_to_their_end(call: Both) -> None:
    pages = [
        Reply(body=b'{"items": [], "next": "c1", "total": 0, "total_is_exact": true}'),
        Reply(body=b'{"items": [], "next": null, "total": 0, "total_is_exact": true}'),
    ]
    with scripted_server(*pages) as server:
        assert call(server.url, "tasks") == ()

    assert [asked.path.partition("?")[2] for asked in server.asked] == [
        "limit=500",
        "limit=500&cursor=c1",
    ]


def test_filters_stand_in_the_address(call: Both) -> None:
    page = Reply(body=b'{"items": [], "next": null, "total": 0, "total_is_exact": true}')
    with scripted_server(page) as server:
        call(server.url, "runs", RunFilter(task="Zip code", state=("failed", "cancelled")), limit=5)

    [asked] = server.asked
    assert asked.path.endswith("/runs?task=Zip+code&state=failed&state=cancelled&limit=5")


def test_names_are_no_paths(call: Both) -> None:
    unknown = problem(404, "task_not_found", "no")
    with scripted_server(unknown) as server, pytest.raises(NotFound):
        call(server.url, "task", "../tokens?x")

    assert server.asked[0].path == "/runyard/v1/companies/acme/tasks/..%2Ftokens%3Fx"


@pytest.mark.parametrize("token", ["", "two words", "line\n", "schlüssel"])
def test_what_cannot_be_a_token_is_never_sent(token: str) -> None:
    with pytest.raises(Refused, match="token"):
        Client("http://127.0.0.1:9", token)


@pytest.mark.parametrize("url", ["127.0.0.1:7070", "ftp://127.0.0.1", ""])
def test_what_cannot_be_an_address_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="address"):
        AsyncClient(url, "secret")


def test_a_company_is_needed_where_things_belong_to_one() -> None:
    with Client("http://127.0.0.1:9", "secret") as client, pytest.raises(Refused, match="company"):
        client.run(7)


def test_a_deploy_tells_what_happens_meanwhile(call: Both) -> None:
    stream = events(
        'event: line\ndata: {"text": "building"}\n\n',
        ": keep-alive\n\n",
        'event: report\ndata: {"bundle": "code", "bundle_digest": "ab", "tasks": []}\n\n',
    )
    heard: list[str] = []
    with scripted_server(stream) as server:
        report = call(server.url, "deploy", CODE, on_line=heard.append)

    assert report.bundle == "code"
    assert heard == ["building"]
    assert server.asked[0].headers["content-type"] == "application/zip"
    assert server.asked[0].body == b"PK"


def test_refused_code_names_file_line_and_reason(call: Both) -> None:
    refusal = {"code": "code_refused", "detail": "'(' was never closed", "file": "a.py", "line": 3}
    stream = events(f"event: problem\ndata: {msgspec.json.encode(refusal).decode()}\n\n")
    with scripted_server(stream) as server, pytest.raises(CodeRefused) as raised:
        call(server.url, "deploy", CODE)

    assert (raised.value.file, raised.value.line) == ("a.py", 3)
    assert raised.value.detail == "'(' was never closed"


def test_files_go_up_and_come_down_unchanged(call: Both, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    source, copy = tmp_path / "figures.csv", tmp_path / "copy"
    source.write_bytes(content)
    kept = {
        "id": 3,
        "run_id": None,
        "name": "figures.csv",
        "content_type": "text/csv",
        "size": len(content),
        "digest": "ab",
        "created_at": "2026-01-31T08:00:00Z",
    }
    with scripted_server(Reply(201, msgspec.json.encode(kept)), Reply(200, content)) as server:
        assert call(server.url, "upload", source).id == 3
        assert call(server.url, "download", 3, copy) == copy

    assert server.asked[0].body == content
    assert server.asked[0].headers["content-type"] == "text/csv"
    assert copy.read_bytes() == content


def test_a_stream_goes_on_where_it_broke_off(call: Both) -> None:
    line = (
        '{"number": %d, "at": "2026-01-31T08:00:00Z", "level": "info", "text": "x", "attempt": 1}'
    )
    first = events(
        f'id: 4\nevent: lines\ndata: {{"run_id": 7, "lines": [{line % 1}, {line % 2}]}}\n\n',
        "event: lines\ndata: {half",
        cut=True,
    )
    second = events(
        f'id: 6\nevent: lines\ndata: {{"run_id": 7, "lines": [{line % 2}, {line % 3}]}}\n\n',
        f"id: 7\nevent: state\ndata: {a_run('completed')}\n\n",
    )
    with scripted_server(first, second) as server:
        heard = call.listened(server.url, 7)

    *logged, ended = heard
    numbers = [line.number for event in logged for line in event.lines]
    assert all(isinstance(event, RunLines) for event in logged)
    assert numbers == [1, 2, 3]
    assert ended.run.is_final
    assert server.asked[1].headers["last-event-id"] == "4"


def a_run(state: str) -> str:
    """A run as the API shows it."""
    at = "2026-01-31T08:00:00Z"
    times = dict.fromkeys(("created_at", "queued_at", "started_at", "finished_at"), at)
    none = dict.fromkeys(
        ("cause", "restarted_from", "schedule_id", "started_by", "due_at", "worker_id", "progress")
    )
    shape = {
        "id": 7,
        "public_id": "AZr8",
        "task": {"id": 1, "name": "Zip code"},
        "version": 1,
        "state": state,
        "priority": 50,
        "level": 0,
        "trigger": "api",
        "attempt": 1,
        "logged_errors": 0,
        **times,
        **none,
    }
    return msgspec.json.encode(shape).decode()
