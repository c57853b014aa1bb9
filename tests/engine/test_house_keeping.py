"""Companies, files and the doctor."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runyard.engine.files import shown_name
from runyard.model.errors import FileNotFound, InputRefused, NameTaken, RunNotFound, TooLarge
from runyard.model.types import Field, FileValue
from tests.stores.places import Place, PostgresPlace, SqlitePlace
from tests.support.yard import Yard, opened_yard


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


# ---------------------------------------------------------------- companies


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"slug": "Acme"}, "slug"),
        ({"slug": "tasks"}, "slug"),
        ({"slug": "-a"}, "slug"),
        ({"slug": "a" * 64}, "slug"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"default_priority": 0}, "default_priority"),
        ({"retention": timedelta()}, "retention"),
        ({"queue_cap": 0}, "queue_cap"),
        ({"weight": 1001}, "weight"),
    ],
)
async def test_a_company_that_cannot_be_meant_is_refused(
    yard: Yard, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputRefused) as refusal:
        await yard.engine.companies.create(**{"slug": "fine", **wrong})

    assert [problem.field for problem in refusal.value.problems] == [field]
    assert [company.slug for company in await yard.engine.companies.list()] == ["acme"]


async def test_a_slug_is_given_once(yard: Yard) -> None:
    with pytest.raises(NameTaken):
        await yard.engine.companies.create("acme")


async def test_a_company_changes_only_in_what_is_given(yard: Yard) -> None:
    await yard.engine.orchestrator.pause(yard.company)
    changed = await yard.engine.companies.update("acme", weight=5, name="Acme Corp.")

    assert (changed.weight, changed.name, changed.time_zone) == (5, "Acme Corp.", "UTC")
    assert not changed.runnable


async def test_nothing_of_a_company_is_found_through_another(yard: Yard) -> None:
    await yard.a_task()
    other = await yard.engine.companies.create("other")
    run = await yard.a_run()
    file = await yard.engine.files.keep(yard.company.id, "a", "", parts(b"x"), limit=10)

    for attempt in (
        yard.engine.runs.load(other, str(run.id)),
        yard.engine.runs.cancel(other, str(run.id)),
        yard.engine.runs.values(other, run.id),
    ):
        with pytest.raises(RunNotFound):
            await attempt
    with pytest.raises(FileNotFound):
        await yard.engine.files.load(other.id, file.id)


# ---------------------------------------------------------------- files


async def test_a_file_comes_back_as_it_was_kept(yard: Yard) -> None:
    file = await yard.engine.files.keep(
        yard.company.id, "data.csv", "text/csv", parts(b"a,b\n", b"1,2\n"), limit=100
    )

    found = await yard.engine.files.load(yard.company.id, file.id)
    content = b"".join([part async for part in yard.engine.files.read(found)])
    middle = b"".join([part async for part in yard.engine.files.read(found, 4, 3)])
    assert (found, found.size) == (file, 8)
    assert (content, middle) == (b"a,b\n1,2\n", b"1,2")


async def test_a_file_beyond_its_limit_is_refused_and_nothing_is_kept(yard: Yard) -> None:
    """R12"""
    with pytest.raises(TooLarge, match="10 bytes"):
        await yard.engine.files.keep(yard.company.id, "a", "", parts(b"x" * 6, b"y" * 6), limit=10)

    assert await yard.engine.files.list(yard.company.id, 10) == []


async def test_an_input_file_is_filled_in_and_must_be_the_companys(yard: Yard) -> None:
    await yard.a_task(inputs=(Field(name="source", parameter="source", type=FileValue()),))
    other = await yard.engine.companies.create("other")
    mine = await yard.engine.files.keep(yard.company.id, "a.txt", "", parts(b"x"), limit=10)
    theirs = await yard.engine.files.keep(other.id, "b.txt", "", parts(b"x"), limit=10)

    run = await yard.a_run(input=b'{"source": %d}' % mine.id)
    with pytest.raises(InputRefused, match="source"):
        await yard.a_run(input=b'{"source": %d}' % theirs.id)

    values = await yard.engine.runs.values(yard.company, run.id)
    assert b'"name":"a.txt"' in values.input
    assert mine.digest.encode() in values.input


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b\x00c.txt", "a_b_c.txt"),
        ("  ", "file"),
        ("..", "file"),
        ("x" * 300, "x" * 255),
    ],
)
def test_the_name_of_a_file_is_never_a_path(given: str, shown: str) -> None:
    assert shown_name(given) == shown


# ---------------------------------------------------------------- the doctor


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, memory_path: Path) -> Place:
    if request.param == "sqlite":
        return SqlitePlace(memory_path)
    return PostgresPlace(request.getfixturevalue("postgres_dsn"), memory_path)


DAMAGES = [
    "UPDATE runs SET lease_token = lease_token, state = 4, session_id = 0",
    "UPDATE runs SET state = 2, due_at = NULL, queued_at = NULL",
    "UPDATE runs SET state = 6, cause = NULL",
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_doctor_finds_what_was_broken_by_hand(place: Place, damage: str) -> None:
    """R2"""
    store = await place.open()
    try:
        async with opened_yard(store) as yard:
            await yard.a_task()
            await yard.a_worker(capacity=0)
            await yard.a_run()
            before = await yard.engine.doctor.examine()
            place.execute(damage)
            after = await yard.engine.doctor.examine()
    finally:
        await store.close()

    assert {c.name: c.ok for c in before.checks}["promises"]
    assert not {c.name: c.ok for c in after.checks}["promises"]
    assert not after.is_healthy


async def test_the_doctor_misses_a_worker(yard: Yard) -> None:
    alone = await yard.engine.doctor.examine()
    await yard.a_worker()
    together = await yard.engine.doctor.examine()

    found = [{c.name: c.ok for c in diagnosis.checks}["workers"] for diagnosis in (alone, together)]
    assert found == [False, True]
