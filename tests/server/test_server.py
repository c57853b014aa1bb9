"""A server as a whole: how it starts, what it leaves behind, how it stops."""

import asyncio
import os
import ssl
import stat
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from runyard.engine.clock import SystemClock
from runyard.model.errors import Overloaded
from runyard.model.tokens import Role
from runyard.server.app import open_server
from runyard.server.http import AddressTaken
from tests.support.certificates import self_signed
from tests.support.server import (
    HandWorker,
    a_secret,
    administrator_secret,
    client_of,
    running_server,
    settings_of,
)

ZIP = {"content-type": "application/zip"}
START = {"task": "Zip code", "input": {"zip": "76131"}}


async def test_the_first_start_leaves_an_administrators_token_for_its_owner_alone(
    memory_path: Path,
) -> None:
    folder = memory_path / "data"

    async with running_server(folder) as server:
        token = folder / "admin.token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        databases = [path for path in folder.iterdir() if path.name.split(".")[-1].startswith("db")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in databases} == {0o600}
        assert (folder / "address").read_text().strip() == server.url
        async with client_of(server, administrator_secret(server)) as admin:
            assert (await admin.get("/doctor")).status_code == 200
            first = token.read_text()

    async with running_server(folder) as server:
        assert token.read_text() == first
        assert len(await server.engine.tokens.list(None)) == 1


async def test_a_token_file_that_was_taken_away_does_not_come_back(memory_path: Path) -> None:
    async with running_server(memory_path):
        (memory_path / "admin.token").unlink()

    async with running_server(memory_path):
        assert not (memory_path / "admin.token").exists()


async def test_a_taken_address_is_told_before_anything_is_opened(memory_path: Path) -> None:
    async with running_server(memory_path / "one") as server:
        port = int(server.url.rpartition(":")[2])

        with pytest.raises(AddressTaken, match=str(port)):
            async with open_server(settings_of(memory_path / "two", port=port)):
                pass

    assert not list((memory_path / "two").iterdir())


async def test_probes_need_no_token_and_metrics_one_of_the_installation(memory_path: Path) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        await server.engine.companies.create("acme")
        of_acme = await a_secret(server, "acme", Role.ADMINISTRATOR)
        viewer = await a_secret(server, None, Role.VIEWER)

        alive = await anyone.get(f"{server.url}/healthz")
        ready = await anyone.get(f"{server.url}/readyz")
        statuses = [
            (await anyone.get(f"{server.url}/metrics", headers=headers)).status_code
            for headers in (
                {},
                {"authorization": f"Bearer {of_acme}"},
                {"authorization": f"Bearer {viewer}"},
            )
        ]
        metrics = await anyone.get(
            f"{server.url}/metrics", headers={"authorization": f"Bearer {viewer}"}
        )
        server.house.streams.end()
        stopping = await anyone.get(f"{server.url}/readyz")

    assert (alive.status_code, ready.status_code, stopping.status_code) == (200, 200, 503)
    assert statuses == [401, 403, 200]
    assert "runyard_store_groups_total" in metrics.text
    assert 'runyard_http_answers_total{route="is_alive",status="200"} 1.0' in metrics.text


async def test_unknown_addresses_and_methods_are_problems(memory_path: Path) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        nowhere = await anyone.get(f"{server.url}/nowhere")
        method = await anyone.delete(f"{server.url}/healthz")
        options = await anyone.options(f"{server.url}/healthz")
        head = await anyone.head(f"{server.url}/healthz")

    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "route_not_found")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (head.status_code, head.content) == (200, b"")
    assert nowhere.headers["x-content-type-options"] == "nosniff"
    assert "server" not in nowhere.headers


async def test_a_defect_is_told_by_a_trace_and_no_more(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_server(memory_path) as server:

        async def broken() -> None:
            raise RuntimeError("a secret thing")

        monkeypatch.setattr(server.engine.companies, "list", broken)
        async with client_of(server, administrator_secret(server)) as admin:
            answer = await admin.get("/companies")

    trace = answer.json()["detail"].rpartition(" ")[2]
    assert answer.status_code == 500
    assert "a secret thing" not in answer.text
    assert trace in capsys.readouterr().err


async def raw(server, *parts: bytes) -> bytes:
    """What the server answers to these bytes."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_head_without_end_is_refused_while_it_is_read(memory_path: Path) -> None:
    async with running_server(memory_path) as server:
        url = await raw(server, b"GET /", *[b"x" * 16_384] * 5)
        headers = await raw(
            server, b"GET /healthz HTTP/1.1\r\n", *[b"a: " + b"x" * 16_384 + b"\r\n"] * 5
        )
        fits = await raw(
            server,
            b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
            b"a: " + b"x" * 32_768 + b"\r\n\r\n",
        )

    assert url.startswith(b"HTTP/1.1 431")
    assert headers.startswith(b"HTTP/1.1 431")
    assert fits.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nhost: y\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\nhost: x\r\nhost: y\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nhost:\r\n", b"200"),
    ],
)
async def test_a_request_names_one_host(memory_path: Path, head: bytes, status: bytes) -> None:
    async with running_server(memory_path) as server:
        answer = await raw(server, head + b"connection: close\r\n\r\n")

    assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
    assert (b"exactly one Host header" in answer) == (status == b"400")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("//runyard/v1/companies", b"application/problem+json"),
        ("//api/remote/acme/tasks", b'"traceId"'),
        ("//v1/orchestra/tasks", b'"status"'),
        ("//v3/activity/list", b'"resource.not.found"'),
        ("//hotbot/1/x/execute", b'"resource.not.found"'),
    ],
)
async def test_an_address_with_a_slash_too_many_is_answered_in_its_doors_form(
    memory_path: Path, path: str, told: bytes
) -> None:
    # The console answered them, with a page that no program reads.
    async with running_server(memory_path) as server:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        answer = await raw(server, head.encode())
        page = await raw(server, b"GET // HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404")
    assert told in answer
    assert page.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("more", [b"", b"content-length: 300000\r\n"])
async def test_a_long_head_is_refused_although_it_came_whole(
    memory_path: Path, more: bytes
) -> None:
    head = b"POST /healthz HTTP/1.1\r\nhost: x\r\n" + more
    async with running_server(memory_path) as server:
        one = await raw(server, head + b"a: " + b"x" * 70_000 + b"\r\n\r\n")
        many = await raw(server, head + b"a: b\r\n" * 20_000 + b"\r\n")

    assert one.startswith(b"HTTP/1.1 431")
    assert many.startswith(b"HTTP/1.1 431")


async def test_a_long_body_is_no_long_head(memory_path: Path) -> None:
    async with running_server(memory_path) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n"
        writer.write(head + b"x" * 300_000)
        answer = await reader.readline()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 405")


async def test_connections_beyond_the_limit_are_answered_that_there_are_too_many(
    memory_path: Path,
) -> None:
    async with running_server(memory_path, connections_limit=2) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        answer = await raw(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        for _, writer in held:
            writer.close()

    assert answer.startswith(b"HTTP/1.1 503")


async def a_company_with_a_task(
    server, opened: AsyncExitStack
) -> tuple[HandWorker, httpx.AsyncClient]:
    worker = HandWorker(server.engine)
    await worker.connect()
    await server.engine.companies.create("acme")
    secret = await a_secret(server, "acme")
    acme = await opened.enter_async_context(client_of(server, secret, "/companies/acme"))
    deployed = await acme.post("/bundles?name=x", content=b"zip", headers=ZIP)
    assert deployed.status_code == 201
    return worker, acme


async def test_stopping_takes_nothing_new_ends_streams_and_waits_for_running_runs(
    memory_path: Path,
) -> None:
    async with running_server(memory_path) as server, AsyncExitStack() as opened:
        worker, acme = await a_company_with_a_task(server, opened)
        run = (await acme.post("/runs", json=START)).json()["id"]
        await worker.begins(run)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(acme.get("/events"))
            stopping = group.create_task(server.stop())
            await watching
            refused = await acme.post("/runs", json=START)
            assert not stopping.done()
            await worker.ends(run)

        assert stopping.result() is True
        assert refused.status_code == 503
        assert refused.json()["code"] == "stopping"
        assert int(refused.headers["retry-after"]) >= 1
        assert (await acme.get(f"/runs/{run}")).json()["state"] == "completed"


async def test_what_still_runs_after_the_drain_time_is_not_waited_for(memory_path: Path) -> None:
    drain = timedelta(milliseconds=200)
    async with running_server(memory_path, drain=drain) as server, AsyncExitStack() as opened:
        worker, acme = await a_company_with_a_task(server, opened)
        run = (await acme.post("/runs", json=START)).json()["id"]
        await worker.begins(run)

        assert await server.stop() is False


async def test_an_overloaded_server_refuses_starts_before_it_reads_them(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server(memory_path) as server, AsyncExitStack() as opened:
        _, acme = await a_company_with_a_task(server, opened)
        tries = 0

        async def full(*_args: object, **_kwargs: object) -> None:
            nonlocal tries
            tries += 1
            raise Overloaded("too much is waiting", retry_after=timedelta(milliseconds=300))

        with monkeypatch.context() as patched:
            patched.setattr(server.engine.starts, "start", full)
            first = await acme.post("/runs", json=START)
            second = await acme.post("/runs", json=START)
        assert (first.status_code, second.status_code, tries) == (503, 503, 1)
        assert second.headers["retry-after"] == "1"
        assert second.json()["code"] == "overloaded"

        await SystemClock().wait(asyncio.Event(), timedelta(milliseconds=400))
        assert (await acme.post("/runs", json=START)).status_code == 201


async def test_with_a_certificate_the_server_speaks_tls(memory_path: Path) -> None:
    certificate, key = self_signed(memory_path)
    settings = {"tls_cert": str(certificate), "tls_key": str(key)}

    async with running_server(memory_path / "data", **settings) as server:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(verify=trusting) as anyone:
            answer = await anyone.get(f"{server.url}/healthz")

    assert server.url.startswith("https://127.0.0.1:")
    assert answer.status_code == 200


async def test_no_secret_is_kept_or_printed(
    memory_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_server(memory_path) as server, AsyncExitStack() as opened:
        _, acme = await a_company_with_a_task(server, opened)
        made = [(await acme.post("/tokens")).json()["secret"] for _ in range(3)]
        for secret in made:
            async with client_of(server, secret) as client:
                await client.get("/companies")
        secrets = [*made, administrator_secret(server)]

    printed = capsys.readouterr()
    assert kept_in(memory_path, secrets) == []
    assert not any(secret in printed.err + printed.out for secret in secrets)


def kept_in(folder: Path, secrets: list[str]) -> list[tuple[str, str]]:
    """Files of a data folder with any of these in them, but for the one that is for it."""
    return [
        (path.name, secret)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "admin.token"
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="who owns /proc/self is seen only by another user")
async def test_the_server_cannot_be_looked_into_by_its_own_user(memory_path: Path) -> None:
    import ctypes

    async with running_server(memory_path):
        dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)

    assert dumpable == 0


async def test_the_api_answers_the_same_on_postgresql(memory_path: Path, postgres_dsn: str) -> None:
    async with running_server(memory_path, postgres_dsn) as server, AsyncExitStack() as opened:
        worker, acme = await a_company_with_a_task(server, opened)
        started = await acme.post(
            "/runs", json={"runs": [START] * 3}, headers={"idempotency-key": "k"}
        )
        repeated = await acme.post(
            "/runs", json={"runs": [START] * 3}, headers={"idempotency-key": "k"}
        )
        run = started.json()["runs"][0]["id"]
        await worker.begins(run)
        await worker.logs(run, "one")
        await worker.ends(run)
        waited = await acme.get(f"/runs/{run}/wait")
        events = await acme.get(f"/runs/{run}/events")
        listed = await acme.get("/runs?state=completed&values=true")

    first, again = ([run["id"] for run in s.json()["runs"]] for s in (started, repeated))
    assert first == again
    assert waited.json()["outputs"] == {"place": "Fort Worth"}
    assert events.text.count("event: ") == 2
    assert [item["id"] for item in listed.json()["items"]] == [run]


async def test_a_runs_stream_tells_what_another_server_did(
    memory_path: Path, postgres_dsn: str
) -> None:
    async with (
        running_server(memory_path / "a", postgres_dsn, server_name="a") as one,
        running_server(memory_path / "b", postgres_dsn, server_name="b") as other,
        AsyncExitStack() as opened,
    ):
        worker, acme = await a_company_with_a_task(one, opened)
        run = (await acme.post("/runs", json=START)).json()["id"]
        secret = await a_secret(other, "acme", Role.VIEWER)
        reader = await opened.enter_async_context(client_of(other, secret, "/companies/acme"))

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(reader.get(f"/runs/{run}/events"))
            await worker.begins(run)
            await worker.logs(run, "one")
            await worker.ends(run)

    assert "completed" in watching.result().text
    assert '"text":"one"' in watching.result().text


@pytest.mark.parametrize("is_deaf", [False, True])
async def test_a_kill_at_another_server_is_answered_as_the_worker_confirms_it(
    memory_path: Path, postgres_dsn: str, *, is_deaf: bool
) -> None:
    async with (
        running_server(memory_path / "a", postgres_dsn, server_name="a") as one,
        running_server(memory_path / "b", postgres_dsn, server_name="b") as other,
        AsyncExitStack() as opened,
    ):
        worker, acme = await a_company_with_a_task(one, opened)
        run = (await acme.post("/runs", json=START)).json()["id"]
        await worker.begins(run)
        worker.is_deaf = is_deaf
        secret = await a_secret(other, "acme")
        elsewhere = await opened.enter_async_context(client_of(other, secret, "/companies/acme"))

        killed = await elsewhere.post(f"/runs/{run}/kill")

    assert killed.status_code == (202 if is_deaf else 200)
    assert killed.json()["confirmed"] is not is_deaf
    assert killed.json()["run"]["state"] == "cancelled"
