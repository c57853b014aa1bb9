"""Files over the native API."""

import pytest

from runyard.model.types import Field, FileValue
from tests.dialects.native.conftest import ZIP, Place, answer_to_announcement
from tests.support.receiver import Exchange, receiving
from tests.support.server import a_declaration

FILES = "/files"
TEXT = {"content-type": "text/csv"}
SCAN = Field(name="scan", parameter="scan", type=FileValue())


async def uploaded(place: Place, content: bytes = b"0123456789", name: str = "a.csv") -> int:
    answer = await place.acme.post(FILES, params={"name": name}, content=content, headers=TEXT)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def test_bytes_come_back_as_they_went(place: Place) -> None:
    content = bytes(range(256)) * 4096

    file = await uploaded(place, content)
    downloaded = await place.acme.get(f"{FILES}/{file}/content")
    shown = (await place.acme.get(f"{FILES}/{file}")).json()

    assert downloaded.content == content
    assert downloaded.headers["content-type"] == "text/csv"
    assert downloaded.headers["x-content-type-options"] == "nosniff"
    assert downloaded.headers["content-disposition"].startswith("attachment")
    assert shown["size"] == len(content)
    assert shown["run_id"] is None


async def test_a_form_brings_its_own_name_and_type(place: Place) -> None:
    answer = await place.acme.post(
        FILES, files={"file": ("žluťoučký.csv", b"a,b\r\n--x\r\n", "text/csv")}
    )

    downloaded = await place.acme.get(f"{FILES}/{answer.json()['id']}/content")
    assert answer.status_code == 201
    assert answer.json()["name"] == "žluťoučký.csv"
    assert downloaded.content == b"a,b\r\n--x\r\n"
    assert "filename*=UTF-8''%C5%BElu" in downloaded.headers["content-disposition"]


@pytest.mark.parametrize(
    ("name", "shown"), [("../../etc/passwd", "_.._etc_passwd"), ('a";b', 'a";b'), ("c\\d", "c_d")]
)
async def test_a_name_never_becomes_a_path_or_a_header(place: Place, name: str, shown: str) -> None:
    file = await uploaded(place, name=name)

    downloaded = await place.acme.get(f"{FILES}/{file}/content")

    assert (await place.acme.get(f"{FILES}/{file}")).json()["name"] == shown
    disposition = downloaded.headers["content-disposition"]
    assert disposition.count('"') == 2


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=4-2", 200, b"0123456789"),
    ],
)
async def test_a_part_of_a_file_is_answered(
    place: Place, wanted: str, status: int, content: bytes
) -> None:
    file = await uploaded(place)

    part = await place.acme.get(f"{FILES}/{file}/content", headers={"range": wanted})

    assert part.status_code == status
    assert part.content == content
    if status == 206:
        first = b"0123456789".index(content)
        span = f"bytes {first}-{first + len(content) - 1}/10"
        assert part.headers["content-range"] == span


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_part_outside_of_a_file_is_refused(place: Place, wanted: str) -> None:
    file = await uploaded(place)

    refused = await place.acme.get(f"{FILES}/{file}/content", headers={"range": wanted})

    assert refused.status_code == 416
    assert refused.headers["content-range"] == "bytes */10"


async def test_an_empty_file_is_a_file(place: Place) -> None:
    file = await uploaded(place, b"")

    downloaded = await place.acme.get(f"{FILES}/{file}/content")

    assert downloaded.status_code == 200
    assert downloaded.content == b""


async def test_head_tells_the_size_without_the_bytes(place: Place) -> None:
    file = await uploaded(place)

    head = await place.acme.head(f"{FILES}/{file}/content")

    assert head.status_code == 200
    assert head.headers["content-length"] == "10"
    assert head.content == b""


async def test_files_are_listed_newest_first_and_in_pages(place: Place) -> None:
    ids = [await uploaded(place, bytes([at])) for at in range(3)]

    first = (await place.acme.get(f"{FILES}?limit=2")).json()
    second = (await place.acme.get(f"{FILES}?limit=2&cursor={first['next']}")).json()

    assert [file["id"] for file in first["items"] + second["items"]] == list(reversed(ids))


async def test_files_of_another_company_do_not_exist(place: Place) -> None:
    file = await uploaded(place)

    answers = [
        await place.globex.get(f"/files/{file}"),
        await place.globex.get(f"/files/{file}/content"),
        await place.globex.get("/files/999999"),
        await place.globex.get("/files/none"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


@pytest.mark.parametrize(
    ("kwargs", "status", "words"),
    [
        ({"content": b"x", "headers": TEXT}, 400, "name"),
        ({"content": b"x"}, 415, "multipart/form-data"),
        ({"files": {"a": ("a", b"1"), "b": ("b", b"2")}}, 400, "more than one"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "boundary",
        ),
        (
            {
                "content": b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "no file",
        ),
        (
            {
                "content": b"--x\r\ncontent-disposition: form-data; name=a; filename=f\r\n\r\nhalf",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "form",
        ),
    ],
)
async def test_an_upload_that_does_not_fit_keeps_nothing(
    place: Place, kwargs: dict[str, object], status: int, words: str
) -> None:
    refused = await place.acme.post(FILES, **kwargs)

    assert refused.status_code == status, refused.text
    assert words in refused.text
    assert (await place.acme.get(FILES)).json()["total"] == 0


async def test_a_file_beyond_the_limit_is_refused_before_it_is_read(place: Place) -> None:
    size = place.server.house.limits.file + 1

    answer = await answer_to_announcement(place, f"{FILES}?name=big", "text/csv", size)

    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_file_by_address_is_fetched_and_reaches_the_run(place: Place) -> None:
    async def contents(exchange: Exchange) -> None:
        await exchange.answer(body=b"fetched", Content_Type="text/plain")

    place.worker.finds = [a_declaration("Scan", inputs=(SCAN,))]
    deployed = await place.acme.post("/bundles?name=scans", content=b"zip", headers=ZIP)
    assert deployed.status_code == 201, deployed.text
    async with receiving(contents) as receiver:
        body = {"task": "Scan", "input": {"scan": {"url": f"{receiver.url}/a.txt"}}}
        started = await place.acme.post("/runs", json=body)
        assert (started.status_code, started.json()["state"]) == (201, "preparing")
        run = started.json()["id"]
        await place.worker.ends(run)
        ended = (await place.acme.get(f"/runs/{run}/wait")).json()

    scan = ended["input"]["scan"]
    content = await place.acme.get(f"/files/{scan['file']}/content")
    assert (scan["name"], content.text) == ("a.txt", "fetched")
    assert (await place.acme.get(f"/runs/{run}/files")).json()["items"] == []


async def test_a_file_that_cannot_be_fetched_ends_the_run(place: Place) -> None:
    async def missing(exchange: Exchange) -> None:
        await exchange.answer("404 Not Found")

    place.worker.finds = [a_declaration("Scan", inputs=(SCAN,))]
    deployed = await place.acme.post("/bundles?name=scans", content=b"zip", headers=ZIP)
    assert deployed.status_code == 201, deployed.text
    async with receiving(missing) as receiver:
        body = {"task": "Scan", "input": {"scan": {"url": receiver.url}}}
        run = (await place.acme.post("/runs", json=body)).json()["id"]
        ended = (await place.acme.get(f"/runs/{run}/wait")).json()

    assert (ended["state"], ended["cause"]) == ("failed", "input_invalid")
    assert ended["error"]["message"] == f"scan: {receiver.url} answers 404"
    lines = (await place.acme.get(f"/runs/{run}/logs")).json()["lines"]
    assert lines[-1]["text"] == ended["error"]["message"]
    assert lines[-1]["level"] == "error"


async def test_a_private_address_is_refused_at_once(place: Place) -> None:
    place.worker.finds = [a_declaration("Scan", inputs=(SCAN,))]
    deployed = await place.acme.post("/bundles?name=scans", content=b"zip", headers=ZIP)
    assert deployed.status_code == 201, deployed.text

    body = {"task": "Scan", "input": {"scan": {"url": "http://10.0.0.1/"}}}
    answer = await place.acme.post("/runs", json=body)

    assert answer.status_code == 400
    [problem] = answer.json()["problems"]
    assert problem["field"] == "scan"
    assert "rule: private" in problem["allowed"]
    assert "allow_outbound" in problem["allowed"]
