"""What the operator chooses: HTTP status as in the body, refusals with 200, reads shared."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from tests.dialects.elma.conftest import Place, a_house, a_place

OWN_LOOPS = True


@asynccontextmanager
async def a_place_with(**given: object) -> AsyncIterator[Place]:
    async with a_house(**given) as house, a_place(*house) as place:
        yield place


async def test_the_http_status_of_a_success_is_the_number_in_its_body() -> None:
    async with a_place_with(elma_mirror_status=True) as place:
        created = await place.bpm.call("/orchestra/task/create", task=await place.bpm.asked())
        task = created.json()["task"]["id"]
        queued = await place.bpm.call("/orchestra/task/status", id=task)
        await place.worker.ends(task, b"{}")
        done = await place.bpm.call("/orchestra/task/status", id=task)
        while done.json()["status"] == 201:
            done = await place.bpm.call("/orchestra/task/status", id=task)
        refused = await place.bpm.call("/orchestra/task/status", id=0)
        listed = await place.bpm.call("/repository/actual")

    assert [a.status_code for a in (created, queued, done, refused, listed)] == [
        201,
        201,
        200,
        404,
        200,
    ]


async def test_refusals_are_answered_with_200() -> None:
    async with a_place_with(elma_refuse_with_200=True) as place:
        answers = [
            await place.bpm.call("/orchestra/task/status", id=0),
            await place.bpm.http.post("/orchestra/task/status", json={"auth_tkn": "x"}),
            await place.bpm.http.post("/orchestra/task/status", content=b"{"),
            await place.bpm.http.get("/orchestra/task/status"),
            await place.bpm.http.post("/repository/nowhere", json={}),
            await place.bpm.http.post("/repository/actual", content=b" " * (1024 * 1024 + 1)),
        ]

    assert [answer.status_code for answer in answers] == [200] * 6
    assert [answer.json()["status"] for answer in answers] == [404, 401, 400, 405, 404, 413]
    assert answers[3].headers["allow"] == "POST"


async def test_systems_of_a_company_read_each_others_tasks() -> None:
    async with a_place_with(elma_shared_reads=True) as place:
        task = await place.bpm.create()
        file = await place.file(task, "a.txt", b"x")
        seen = await place.erp.status(task)
        refused = await place.erp.refused(403, "/orchestra/task/cancel", id=task)
        await place.worker.ends(task, msgspec.json.encode({"FileValue_out": file}))
        await place.bpm.until(task, "DONE")
        content = await place.erp.call("/repository/task/download", taskid=task, filename="a.txt")
        foreign = await place.foreign.refused(404, "/orchestra/task/status", id=task)
        own = await place.bpm.status(task)

    assert "system" not in seen
    assert (seen["id"], seen["process"]) == (task, own["process"])
    assert refused == f"task {task} was created by another system"
    assert content.content == b"x"
    assert foreign == f"there is no task {task}"
    assert own["system"] == place.bpm.uuid
