"""Files in, by address, while a task is in PREPARE; and files out, by name."""

import asyncio
import json
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from runyard.engine import fetching
from runyard.model.types import Boolean, Field, FileValue, ListOf, Nullable, Record, Text
from runyard.outbound.names import SystemNames
from runyard.outbound.networks import Address
from tests.dialects.elma.conftest import Place, a_caller, an_intake, lines_of, optional
from tests.support.receiver import Exchange, Receiver, receiving

SETTINGS = {"file_limit": 64 * 1024}
DOWNLOAD = "/repository/task/download"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(fetching, "PAUSES", (timedelta(milliseconds=10),) * 2)


async def contents(exchange: Exchange) -> None:
    await exchange.answer(body=f"this is {exchange.target}".encode(), Content_Type="text/plain")


def with_scan(receiver: Receiver, path: str = "/scan.txt") -> dict[str, Any]:
    return {"StringParam_in": "Ada", "FileParam_in": f"{receiver.url}{path}"}


async def failed(place: Place, task: int) -> str:
    """The last line of the log of a task that could not be prepared."""
    found = await place.bpm.until(task, "ERROR")
    assert "bot" not in found
    assert found["metrics"] == {}
    assert lines_of(found)[-1].startswith("[ERR] ")
    return lines_of(found)[-1]


# ---------------------------------------------------------------- in


async def test_files_arrive_before_the_task_is_queued(place: Place) -> None:
    open_up = asyncio.Event()

    async def patient(exchange: Exchange) -> None:
        await open_up.wait()
        await contents(exchange)

    async with receiving(patient) as receiver:
        ctx = with_scan(receiver, "/a?uid=c054ab8e&system=5d5e") | {
            "ArrayParam_in": [f"{receiver.url}/b", f"{receiver.url}/c"]
        }
        task = await place.bpm.create(ctx)
        await receiver.has(1)
        preparing = await place.bpm.status(task)
        open_up.set()
        queued = await place.bpm.until(task, "QUEUE")

    assert preparing["status"] == "PREPARE"
    assert "ctx" not in preparing
    assert "groups" not in preparing
    assert lines_of(preparing)[-1].endswith("| [Server.Queue] | fetching 3 input files")
    assert "ctx" in queued
    assert {exchange.target for exchange in receiver.arrived} == {
        "/a?uid=c054ab8e&system=5d5e",
        "/b",
        "/c",
    }
    values = json.loads((await place.server.engine.runs.values(place.bpm.company, task)).input)
    assert values["FileParam_in"]["size"] == len("this is /a?uid=c054ab8e&system=5d5e")
    assert [file["name"] for file in values["ArrayParam_in"]] == ["b", "c"]


async def test_a_task_is_cancelled_while_its_files_are_fetched(place: Place) -> None:
    async def endless(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with receiving(endless) as receiver:
        task = await place.bpm.create(with_scan(receiver))
        await receiver.has(1)
        cancelled = await place.bpm.cancel(task)

    assert cancelled["status"] == "ERROR"
    assert lines_of(cancelled)[-1].endswith("| [Server.Queue] | Cancelled by system Finance BPM")


async def test_hosts_are_open_to_the_files_of_one_system_alone(place: Place) -> None:
    async with receiving(contents) as receiver:
        task = await place.bpm.create(with_scan(receiver))
        await place.bpm.until(task, "QUEUE")

        reason = await place.erp.not_created(400, with_scan(receiver))

    assert "ctx.FileParam_in" in reason
    assert "127.0.0.1 may not be visited (rule: loopback)" in reason
    assert "allow_outbound" in reason


async def test_a_file_that_is_not_there_fails_the_task_at_once(place: Place) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer("404 Not Found")

    async with receiving(missing) as receiver:
        last = await failed(place, await place.bpm.create(with_scan(receiver)))

    assert last.endswith(f"FileParam_in: {receiver.url} answers 404")
    assert len(receiver.arrived) == 1


async def test_a_sender_that_fails_is_asked_three_times(place: Place) -> None:
    async def failing(exchange: Exchange) -> None:
        await exchange.answer("503 Service Unavailable")

    async with receiving(failing) as receiver:
        task = await place.bpm.create(with_scan(receiver))
        last = await failed(place, task)

    assert last.endswith(f"FileParam_in: {receiver.url} answers 503 (tried 3 times)")
    assert len(receiver.arrived) == 3
    assert sum("tried again" in line for line in lines_of(await place.bpm.status(task))) == 2


@pytest.mark.parametrize("head", ["Content-Length: 70000\r\n", ""], ids=["announced", "endless"])
async def test_a_file_that_is_too_big_or_never_ends_fails_the_task(place: Place, head: str) -> None:
    async def big(exchange: Exchange) -> None:
        await exchange.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        while True:
            await exchange.write(bytes(4096))

    async with receiving(big) as receiver:
        last = await failed(place, await place.bpm.create(with_scan(receiver)))

    assert "[Server.Queue] | FileParam_in: " in last or "InputFileNotFetched" in last
    assert "65,536" in last or "65536" in last


async def test_a_redirect_to_a_private_address_fails_the_task(place: Place) -> None:
    async def redirecting(exchange: Exchange) -> None:
        await exchange.answer("302 Found", Location="http://169.254.169.254/latest/meta-data")

    async with receiving(redirecting) as receiver:
        last = await failed(place, await place.bpm.create(with_scan(receiver)))

    assert "169.254.169.254 may not be visited (rule: cloud metadata)" in last


async def test_a_name_that_leads_elsewhere_the_second_time_is_judged_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def addresses(names: SystemNames, host: str) -> list[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    async def busy(exchange: Exchange) -> None:
        await exchange.answer("503 Service Unavailable", Connection="close")
        exchange.writer.close()

    monkeypatch.setattr(SystemNames, "addresses", addresses)
    async with receiving(busy) as receiver:
        ctx = with_scan(receiver)
        ctx["FileParam_in"] = f"http://files.example.com:{receiver.port}/scan.txt"
        last = await failed(place, await place.bpm.create(ctx))

    assert len(receiver.arrived) == 1
    assert asked == ["files.example.com"] * 2
    assert "10.0.0.1 may not be visited (rule: private" in last


async def test_attachments_of_a_mail_are_fetched(place: Place) -> None:
    parts = (
        Field(name="subject", parameter="subject", type=Text()),
        Field(name="isHtml", parameter="is_html", type=Boolean()),
        Field(name="attachments", parameter="attachments", type=ListOf(FileValue())),
    )
    mail = Field(name="mail", parameter="mail", type=Nullable(Record(parts)), required=False)
    await place.deploy(an_intake(fingerprint="2", inputs=(mail,)))
    async with receiving(contents) as receiver:
        sent = {
            "subject": "Order",
            "sender": "a@b.example",
            "isHtml": False,
            "cc": [],
            "date": "0001-01-01T00:00:00Z",
            "attachments": [f"{receiver.url}/order.pdf"],
        }
        task = await place.bpm.create({"mail": sent})
        await place.bpm.until(task, "QUEUE")

    values = json.loads((await place.server.engine.runs.values(place.bpm.company, task)).input)
    assert values["mail"]["subject"] == "Order"
    assert values["mail"]["attachments"][0]["name"] == "order.pdf"


# ---------------------------------------------------------------- out


async def test_files_of_one_name_are_kept_apart_and_downloaded_by_theirs(place: Place) -> None:
    outputs = (optional("First", FileValue()), optional("Rest", ListOf(FileValue())))
    await place.deploy(an_intake(fingerprint="2", outputs=outputs))
    task = await place.bpm.create()
    files = [await place.file(task, "note.txt", f"number {n}".encode()) for n in (1, 2, 3)]
    await place.worker.ends(task, msgspec.json.encode({"First": files[0], "Rest": files[1:]}))
    done = await place.bpm.until(task, "DONE")

    names = ["note.txt", "note (2).txt", "note (3).txt"]
    assert json.loads(done["outputCtx"]) == {"first": names[0], "rest": names[1:]}
    for number, name in enumerate(names, 1):
        answer = await place.bpm.call(DOWNLOAD, taskid=task, filename=name)
        assert answer.content == f"number {number}".encode()


async def test_a_file_that_was_passed_on_is_downloaded_as_well(place: Place) -> None:
    async with receiving(contents) as receiver:
        task = await place.bpm.create(with_scan(receiver))
        await place.bpm.until(task, "QUEUE")
    values = json.loads((await place.server.engine.runs.values(place.bpm.company, task)).input)
    output = msgspec.json.encode({"FileValue_out": values["FileParam_in"]})
    await place.worker.ends(task, output)
    done = await place.bpm.until(task, "DONE")

    assert json.loads(done["outputCtx"])["filevalue_out"] == "scan.txt"
    answer = await place.bpm.call(DOWNLOAD, taskid=task, filename="scan.txt")
    assert answer.content == b"this is /scan.txt"


async def test_a_part_of_a_file_is_downloaded(place: Place) -> None:
    task = await place.bpm.create()
    file = await place.file(task, "ten.bin", b"0123456789")
    await place.worker.ends(task, msgspec.json.encode({"FileValue_out": file}))
    await place.bpm.until(task, "DONE")
    body = {"auth_tkn": place.bpm.uuid, "taskid": task, "filename": "ten.bin"}

    part = await place.bpm.http.post(DOWNLOAD, json=body, headers={"range": "bytes=2-4"})
    outside = await place.bpm.http.post(DOWNLOAD, json=body, headers={"range": "bytes=20-"})

    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert (outside.status_code, outside.json()["status"]) == (416, 416)
    assert outside.headers["content-range"] == "bytes */10"


async def test_files_of_a_run_that_was_deleted_are_gone(place: Place) -> None:
    stranger = await a_caller(place.server, place.bpm.company, place.bpm.http, "Third")
    task = await place.bpm.create()
    file = await place.file(task, "a.txt", b"x")
    await place.worker.ends(task, msgspec.json.encode({"FileValue_out": file}))
    await place.bpm.until(task, "DONE")

    await stranger.refused(404, DOWNLOAD, taskid=task, filename="a.txt")
    await place.server.engine.runs.delete(place.bpm.company, [task])  # type: ignore[list-item]
    reason = await place.bpm.refused(404, DOWNLOAD, taskid=task, filename="a.txt")
    assert reason == f"there is no task {task}"
