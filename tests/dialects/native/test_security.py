"""What callers and authors try: other companies' files, forged headers, forged declarations."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from runyard.model.tasks import Policies, RetryPolicy
from runyard.model.types import AnyValue, Choice, Field, Text
from tests.dialects.native.conftest import ZIP, Place
from tests.dialects.native.test_files import uploaded
from tests.support.server import a_declaration

FREE = a_declaration("Free", inputs=(Field(name="value", parameter="value", type=AnyValue()),))


async def a_free_task(place: Place) -> None:
    """A task of globex that takes any JSON."""
    place.worker.finds = [FREE]
    deployed = await place.globex.post("/bundles?name=free", content=b"zip", headers=ZIP)
    assert deployed.status_code == 201, deployed.text


async def reference_of(place: Place, file: int) -> dict[str, object]:
    """A file of acme in the form in which values refer to it."""
    shown = (await place.acme.get(f"/files/{file}")).json()
    return {
        "file": file,
        "name": "a",
        "content_type": "text/csv",
        "size": shown["size"],
        "digest": shown["digest"],
    }


@pytest.mark.parametrize("named_by", ["its own id", "an id of the company"])
async def test_a_file_of_another_company_cannot_be_had_by_its_digest(
    place: Place, named_by: str
) -> None:
    # A worker fetches whatever in an input has the form of a file: free JSON got past every check.
    await a_free_task(place)
    foreign = await reference_of(place, await uploaded(place))
    if named_by == "an id of the company":
        mine = await place.globex.post("/files?name=x", content=b"mine", headers=ZIP)
        foreign["file"] = mine.json()["id"]
    value = {"value": {"deep": [{"inside": foreign}]}}

    run = await place.globex.post("/runs", json={"task": "Free", "input": value})
    schedule = await place.globex.post(
        "/schedules", json={"name": "n", "task": "Free", "cron": "* * * * *", "input": value}
    )

    assert [run.status_code, schedule.status_code] == [400, 400]
    assert "file" in run.text


async def test_a_file_of_the_company_may_stand_in_free_json(place: Place) -> None:
    await a_free_task(place)
    mine = await place.globex.post("/files?name=x", content=b"mine", headers=ZIP)
    reference = {**mine.json(), "file": mine.json()["id"]}

    run = await place.globex.post(
        "/runs", json={"task": "Free", "input": {"value": {"a": [reference], "digest": "x"}}}
    )

    assert run.status_code == 201, run.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html\r\nset-cookie: a=b\r\n\r\n<script>",
        "text/plain; a=\r\nb: c",
        "no type",
        "",
        "text/" + "x" * 5000,
        "text/ž",
    ],
)
async def test_a_content_type_never_becomes_another_header(place: Place, content_type: str) -> None:
    # It comes from task code, too, which may say anything.
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    company = await place.server.engine.companies.load(place.acme_slug)
    files = place.server.engine.files
    file = await files.keep(company.id, "a", content_type, parts(), limit=10)

    downloaded = await place.acme.get(f"/files/{file.id}/content")

    assert downloaded.headers["content-type"] == "application/octet-stream"
    assert downloaded.content == b"x"


def with_policies(**given: object) -> dict[str, object]:
    return {"policies": msgspec.structs.replace(Policies(), **given)}


FIELD = Field(name="a", parameter="a", type=Text())


@pytest.mark.parametrize(
    "forged",
    [
        {"name": "a\nb"},
        {"name": ""},
        {"key": "k" * 201},
        {"path": "a\x00b"},
        {"description": "a\x00b"},
        {"fingerprint": "../x"},
        {"requirements": ("--index-url=http://evil",)},
        {"requirements": ("x\n-r /etc/passwd",)},
        {"requirements": ("-e .",)},
        {"inputs": (FIELD, FIELD)},
        {"inputs": (msgspec.structs.replace(FIELD, type=Choice(())),)},
        {"outputs": (msgspec.structs.replace(FIELD, required=False, default="no JSON"),)},
        with_policies(priority=0),
        with_policies(concurrency=2**70),
        with_policies(concurrency=0),
        with_policies(retention=timedelta.max),
        with_policies(timeout=timedelta(seconds=-1)),
        with_policies(labels=("a\nb",)),
        with_policies(retry=RetryPolicy(retries=2**70)),
        with_policies(retry=RetryPolicy(retries=1, delay=timedelta.max)),
        with_policies(retry=RetryPolicy(retries=1, factor=float("nan"))),
        with_policies(retry=RetryPolicy(retries=1, factor=1e300)),
    ],
)
async def test_a_declaration_that_no_sdk_makes_is_refused(
    place: Place, forged: dict[str, object]
) -> None:
    # The process that says it executes the author's code. One such number stopped all records.
    place.worker.finds = [msgspec.structs.replace(a_declaration("Forged"), **forged)]

    deployed = await place.acme.post("/bundles?name=forged", content=b"zip", headers=ZIP)

    assert (deployed.status_code, deployed.json()["code"]) == (400, "code_refused"), deployed.text


async def test_a_key_that_is_there_twice_is_refused(place: Place) -> None:
    place.worker.finds = [a_declaration("Twice"), a_declaration("Twice")]

    deployed = await place.acme.post("/bundles?name=forged", content=b"zip", headers=ZIP)

    assert deployed.json()["code"] == "code_refused"


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-23:00", "9999-12-31T23:59:59Z"])
async def test_an_instant_beyond_all_arithmetic_is_refused(place: Place, at: str) -> None:
    # One such run kept every company's scheduled runs from being queued, for ever.
    run = {"task": "Zip code", "input": {"zip": "1"}}

    started = await place.acme.post("/runs", json={**run, "due_at": at})
    planned = await place.acme.post("/schedules", json={**run, "name": "n", "at": at})

    assert [started.status_code, planned.status_code] == [400, 400]
    assert "due_at" in started.text


async def test_a_wait_ends_without_an_answer_for_a_token_revoked_meanwhile(place: Place) -> None:
    run = await place.start(parked=True)
    made = (await place.acme.post("/tokens", json={"role": "viewer"})).json()
    async with place.client(made["secret"], f"/companies/{place.acme_slug}") as viewer:
        waiting = asyncio.ensure_future(viewer.get(f"/runs/{run}/wait?timeout=60"))
        await viewer.get(f"/runs/{run}")
        await place.acme.delete(f"/tokens/{made['id']}")
        await place.acme.post(f"/runs/{run}/cancel")

        assert (await waiting).status_code == 401
