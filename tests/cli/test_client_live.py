"""The client against a real server: what only a server can show."""

from datetime import timedelta
from pathlib import Path

import pytest

from runyard import AsyncClient, Client
from runyard.model.errors import IdempotencyConflict, InputRefused, RunNotFound
from runyard.sdk.client import NewRun, NewSchedule, RunFilter, StateChanged
from runyard.sdk.client.shapes import RunLines
from tests.support.house import House


def test_a_run_is_watched_from_beginning_to_end(client: Client) -> None:
    started = client.start("Greet", {"name": "Ann", "times": 3})

    events = list(client.events(started.id))

    lines = [line.text for e in events if isinstance(e, RunLines) for line in e.lines]
    states = [e.run.state for e in events if isinstance(e, StateChanged)]
    assert lines == ["greeting 1", "greeting 2", "greeting 3"]
    assert states[-1] == "completed"


def test_a_log_goes_on_after_a_known_line(client: Client) -> None:
    run = client.wait(client.start("Greet", {"name": "Ann", "times": 3}).id)

    events = list(client.events(run.id, after_line=2))

    lines = [line.number for e in events if isinstance(e, RunLines) for line in e.lines]
    assert lines == [3]


def test_a_company_is_watched(client: Client) -> None:
    started = client.start("Dawdle", {"seconds": 0.2})

    for event in client.events():
        if isinstance(event, StateChanged) and event.run.id == started.id and event.run.is_final:
            break

    assert client.run(started.id).has_succeeded


def test_many_runs_are_started_at_once_and_paged(client: Client) -> None:
    started = client.start_many(NewRun(task="Greet", input={"name": str(n)}) for n in range(30))
    for run in started:
        client.wait(run.id)

    wanted = RunFilter(task="Greet", created_from=client.run(started[0].id).created_at)
    seen: list[int] = []
    after = None
    while True:
        page = client.runs(wanted, limit=7, after=after, values=True)
        seen += [run.id for run in page.items]
        after = page.next
        if after is None:
            break

    assert {run.id for run in started} <= set(seen)
    assert len(seen) == len(set(seen))


def test_one_wrong_run_among_many_starts_none(client: Client) -> None:
    before = client.runs(RunFilter(task="Greet")).total

    with pytest.raises(InputRefused) as refused:
        client.start_many([NewRun(task="Greet", input={"name": "a"}), NewRun(task="Greet")])

    assert "name" in refused.value.problems[0].field
    assert client.runs(RunFilter(task="Greet")).total == before


def test_a_wait_gives_up_after_its_timeout(client: Client) -> None:
    started = client.start("Dawdle", {"seconds": 30})

    run = client.wait(started.id, timedelta(seconds=0.1))

    assert not run.is_final
    assert client.cancel(started.id).state == "cancelled"


def test_errors_are_those_of_the_server(client: Client) -> None:
    with pytest.raises(RunNotFound):
        client.run(999_999_999)
    client.start("Greet", {"name": "a"}, key="client-17")
    with pytest.raises(IdempotencyConflict):
        client.start("Greet", {"name": "b"}, key="client-17")


def test_schedules_and_versions_are_seen(client: Client) -> None:
    made = client.create_schedule(
        NewSchedule(task="Greet", name="hourly", interval=timedelta(hours=1), input={"name": "a"})
    )

    assert made.interval == timedelta(hours=1)
    assert [schedule.id for schedule in client.schedules(task="Greet")] == [made.id]
    assert client.enable_schedule("hourly", False).enabled is False  # noqa: FBT003 - it is the value
    assert client.schedule("hourly").enabled is False
    client.delete_schedule(made.id)
    assert client.versions("Greet")[0].number == 1


def test_the_installation_is_seen(acme: House) -> None:
    with Client(acme.url, acme.token) as client:
        [worker] = client.workers()
        diagnosis = client.doctor()

    assert worker.online
    assert diagnosis.ok


async def test_the_async_client_does_the_same(acme: House, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    async with AsyncClient(acme.url, acme.token, company="acme") as client:
        file = await client.upload(tmp_path / "note.txt")
        started = await client.start("Copy", {"source": {"file": file.id}})
        lines = [event async for event in client.events(started.id)]
        run = await client.wait(started.id)
        [copied] = await client.run_files(run.id)
        await client.download(copied.id, tmp_path / "copy.txt")

    assert run.has_succeeded
    assert lines
    assert (tmp_path / "copy.txt").read_text() == "A NOTE"
