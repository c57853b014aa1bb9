"""The fifteen operations and the extensions: what they answer, and what becomes of it."""

import asyncio
from datetime import timedelta

import pytest

from runyard.model.logs import LogLevel, LogLine
from runyard.model.tasks import Policies
from runyard.model.types import Field, Integer, Table, Text
from tests.dialects.integray.conftest import Control, Place, a_bundle_of_bytes
from tests.support.server import a_declaration


async def deployed(place: Place, *declarations, company: Control | None = None) -> None:
    place.worker.finds = list(declarations)
    control = company or place.acme
    await place.server.engine.deploys.deploy(control.company, "examples", a_bundle_of_bytes())


# ---------------------------------------------------------------- agents


async def test_agents_are_shown_active_and_inactive(place: Place) -> None:
    agents = await place.acme.get("/agents")
    active = await place.acme.get("/agents", isActive="true")
    inactive = await place.acme.get("/agents", isActive="false")

    ids = [agent["agentId"] for agent in agents]
    assert ids == [agent["agentId"] for agent in (*active, *inactive)]
    [hand] = [agent for agent in agents if agent["name"] == "hand"]
    assert hand.keys() == {
        "agentId", "name", "type", "isActive", "state", "version", "hostName", "lastSeen", "slots",
        "busySlots",
    }  # fmt: skip
    assert (hand["type"], hand["state"], hand["slots"]) == ("Background", "Online", 100)
    assert hand["hostName"] is None  # it serves every company


# ---------------------------------------------------------------- orchestrator


async def test_the_status_is_set_and_read(place: Place) -> None:
    before = await place.acme.get("/orchestrator/status")
    off = await place.acme.put("/orchestrator/status", {"isRunnable": False})
    again = await place.acme.put("/orchestrator/status", {"isRunnable": False})
    run = await place.acme.start()
    waiting = await place.acme.get("/orchestrator/status")
    on = await place.acme.post("/orchestrator/status", {"isRunnable": True})
    await place.worker.ends(run)

    assert (before["isRunnable"], before["changedAt"], before["changedBy"]) == (True, None, None)
    assert off["companySlug"] == place.acme.slug
    assert not off["isRunnable"]
    assert off["changedBy"].startswith("remote-control token ...")
    assert again == off
    assert (waiting["scheduledCount"], waiting["runningCount"]) == (1, 0)
    assert on["isRunnable"]
    assert (await place.acme.ended(run))["statusId"] == 200
    assert (await place.globex.get("/orchestrator/status"))["isRunnable"]


async def test_what_is_in_progress_goes_on_while_it_is_off(place: Place) -> None:
    run = await place.acme.start()
    await place.worker.begins(run)
    await place.acme.until(run, 100)
    off = await place.acme.put("/orchestrator/status", {"isRunnable": False})
    await place.worker.ends(run)
    await place.acme.ended(run)

    assert off["runningCount"] == 1
    assert (await place.acme.get("/orchestrator/status"))["runningCount"] == 0


# ---------------------------------------------------------------- tasks


async def test_tasks_show_what_is_known_of_them(place: Place) -> None:
    policies = Policies(timeout=timedelta(seconds=1.5), concurrency=3, priority=7, labels=("gpu",))
    await deployed(place, a_declaration(policies=policies, fingerprint="2"), a_declaration("Other"))
    plain, own = sorted(await place.acme.get("/tasks"), key=lambda task: task["name"])

    assert own["name"] == "Zip code"
    assert (own["maxInstances"], own["timeoutSeconds"], own["tags"]) == (3, 2, ["gpu"])
    assert (own["priority"], own["prioritySource"]) == (7, "Task")
    assert (plain["priority"], plain["prioritySource"]) == (50, "Company")
    assert plain["maxInstances"] == 100  # all slots: it sets no limit
    assert "timeoutSeconds" not in plain
    assert plain["group"] == "Bots"
    assert plain["inputs"] == [{"name": "zip", "title": "zip", "type": "text", "required": True}]
    assert (plain["lastTaskRunId"], plain["lastStatusId"], plain["nextScheduled"]) == (
        None,
        None,
        None,
    )


async def test_tasks_count_their_runs_and_know_the_last_one(place: Place) -> None:
    ended = await place.finished()
    running, waiting = await place.acme.start(), None
    await place.worker.begins(running)
    await place.acme.until(running, 100)
    await place.acme.put("/orchestrator/status", {"isRunnable": False})
    waiting = await place.acme.start()
    at = await place.server.engine.schedules.create(
        place.acme.company, "Zip code", name="hourly", interval=timedelta(hours=1),
        input=b'{"zip":"1"}',
    )  # fmt: skip
    [task] = await place.acme.get("/tasks")

    assert (task["runningCount"], task["scheduledCount"]) == (1, 1)
    assert (task["lastTaskRunId"], task["lastStatusId"]) == (waiting, 1)
    assert task["nextScheduled"] is not None
    assert at.next_fire_at is not None
    assert ended < running < waiting


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, {"Zip code", "Invoices", "Old"}),
        ({"isActive": "true"}, {"Zip code", "Invoices"}),
        ({"isActive": "false"}, {"Old"}),
        ({"search": "zip LIES"}, {"Zip code", "Invoices", "Old"}),
        ({"search": "invoices"}, {"Invoices"}),
        ({"group": "Bots"}, {"Zip code", "Invoices", "Old"}),
        ({"group": "Elsewhere"}, set()),
        ({"isRunnable": "false"}, {"Invoices"}),
        ({"isRunnable": "false", "search": "code"}, {"Invoices"}),
        ({"isRunnable": "true", "isActive": "true"}, {"Zip code"}),
    ],
)
async def test_tasks_are_found_by_what_is_asked(
    place: Place, query: dict[str, str], names: set[str]
) -> None:
    await deployed(place, a_declaration(), a_declaration("Invoices"), a_declaration("Old"))
    await deployed(place, a_declaration(), a_declaration("Invoices"))
    task = await place.acme.task("Invoices")
    await place.acme.put(f"/tasks/{task}/runnability", {"isRunnable": False})

    found = await place.acme.get("/tasks", **query)

    assert {task["name"] for task in found} == names


async def test_a_start_answers_a_task_run_and_where_it_is(place: Place) -> None:
    task = await place.acme.task()
    answer = await place.acme.http.post(
        f"/tasks/{task}/start", json={"input": {"zip": "1"}, "note": "by hand"}
    )
    created = answer.json()
    shown = await place.acme.http.get(answer.headers["location"])

    assert answer.status_code == 201
    assert created == {
        "taskRunId": created["taskRunId"],
        "taskId": task,
        "statusId": 1,
        "status": "Scheduled",
        "level": 0,
        "restartedFromId": None,
    }
    assert shown.json()["taskRunId"] == created["taskRunId"]
    assert shown.json()["trigger"] == "RemoteApi"
    assert shown.json()["history"][0]["note"] == "by hand"
    assert shown.json()["startedBy"].startswith("remote-control token ...")


async def test_a_repeated_start_with_a_key_starts_once(place: Place) -> None:
    task = await place.acme.task()
    path, body = f"/tasks/{task}/start", {"input": {"zip": "1"}}

    first = await place.acme.http.post(path, json=body, headers={"Idempotency-Key": "17"})
    again = await place.acme.http.post(path, json=body, headers={"Idempotency-Key": "17"})
    other = await place.acme.http.post(
        path, json={"input": {"zip": "2"}}, headers={"Idempotency-Key": "17"}
    )

    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(await place.acme.get("/taskruns")) == 1


async def test_one_row_is_the_named_inputs(place: Place) -> None:
    task = await place.acme.task()
    one = await place.acme.post(f"/tasks/{task}/start", {"input": [{"zip": "1"}]}, status=201)
    two = await place.acme.http.post(
        f"/tasks/{task}/start", json={"input": [{"zip": "1"}, {"zip": "2"}]}
    )

    values = await place.server.engine.runs.values(place.acme.company, one["taskRunId"])
    assert values.input == b'{"zip":"1"}'
    assert (two.status_code, two.json()["code"]) == (400, "invalid_request")
    assert "input: 2 rows; allowed: one row" in two.json()["detail"]


async def test_rows_go_whole_to_a_task_whose_one_input_is_a_table(place: Place) -> None:
    columns = (
        Field(name="Lang", parameter="lang", type=Text()),
        Field(name="Age", parameter="age", type=Integer()),
    )
    rows = Field(name="People", parameter="people", type=Table(columns=columns))
    await deployed(place, a_declaration("Greet", inputs=(rows,)))
    body = {"input": [{"Lang": "en", "Age": 3}, {"Lang": "cs", "Age": 4}]}
    run = await place.acme.start("Greet", body)
    none = await place.acme.start("Greet", {"input": []})
    named = await place.acme.start("Greet", {"input": {"People": [{"Lang": "de", "Age": 5}]}})

    detail = await place.acme.get(f"/taskruns/{run}")
    assert detail["steps"][0]["rowsIn"] == 2
    assert (await place.acme.get(f"/taskruns/{none}"))["steps"][0]["rowsIn"] == 0
    assert (await place.acme.get(f"/taskruns/{named}"))["steps"][0]["rowsIn"] == 1


async def test_kill_leaves_the_queue_and_clean_leaves_what_runs(place: Place) -> None:
    task = await place.acme.task()
    running = await place.acme.start()
    await place.worker.begins(running)
    await place.acme.until(running, 100)
    await place.acme.put("/orchestrator/status", {"isRunnable": False})
    queued = [await place.acme.start() for _ in range(3)]

    cleaned = await place.acme.post(f"/tasks/{task}/clean")
    killed = await place.acme.post(f"/tasks/{task}/kill")
    nothing = (
        await place.acme.post(f"/tasks/{task}/kill"),
        await place.acme.post(f"/tasks/{task}/clean"),
    )

    assert cleaned == {
        "taskId": task, "count": 3, "taskRunIds": queued, "unconfirmedTaskRunIds": [],
    }  # fmt: skip
    assert (killed["count"], killed["taskRunIds"]) == (1, [running])
    assert [await place.acme.status(run) for run in (running, *queued)] == [303] * 4
    assert [answer["count"] for answer in nothing] == [0, 0]
    note = (await place.acme.get(f"/taskruns/{queued[0]}"))["history"][-1]["note"]
    assert note == "removed from the queue"


async def test_a_kill_of_nobody_leaves_scheduled_runs_alone(place: Place) -> None:
    await place.acme.put("/orchestrator/status", {"isRunnable": False})
    run = await place.acme.start()

    killed = await place.acme.post(f"/tasks/{await place.acme.task()}/kill")

    assert killed["count"] == 0
    assert await place.acme.status(run) == 1


async def test_a_task_that_is_not_runnable_waits(place: Place) -> None:
    task = await place.acme.task()
    old = await place.finished()
    closed = await place.acme.put(f"/tasks/{task}/runnability", {"isRunnable": False})
    refused = await place.acme.http.post(f"/tasks/{task}/start", json={"input": {"zip": "1"}})
    restarted = await place.acme.post(f"/taskruns/{old}/restart", status=201)
    waiting = await place.acme.status(restarted["taskRunId"])
    opened = await place.acme.post(f"/tasks/{task}/runnability", {"isRunnable": True})
    await place.worker.ends(restarted["taskRunId"])

    assert (closed["isRunnable"], opened["isRunnable"]) == (False, True)
    assert (refused.status_code, refused.json()["code"]) == (409, "task_not_runnable")
    assert (restarted["statusId"], waiting) == (1, 1)
    assert (await place.acme.ended(restarted["taskRunId"]))["statusId"] == 200


async def test_a_withdrawn_task_is_inactive(place: Place) -> None:
    task, old = await place.acme.task(), await place.finished()
    await deployed(place, a_declaration("Other"))
    start = await place.acme.http.post(f"/tasks/{task}/start", json={"input": {"zip": "1"}})
    restart = await place.acme.http.post(f"/taskruns/{old}/restart")
    [shown] = [task for task in await place.acme.get("/tasks") if not task["isActive"]]

    assert (start.status_code, start.json()["code"]) == (409, "task_inactive")
    assert (restart.status_code, restart.json()["code"]) == (409, "task_inactive")
    assert shown["taskId"] == task
    assert not shown["isExecutable"]
    assert shown["notExecutableReasons"] == ["withdrawn: its bundle no longer has it"]


# ---------------------------------------------------------------- task runs


async def test_task_runs_are_found_by_task_status_dates_and_count(place: Place) -> None:
    await deployed(place, a_declaration(), a_declaration("Other"))
    zip_code, other = await place.acme.task(), await place.acme.task("Other")
    good = [await place.finished() for _ in range(2)]
    bad = await place.finished(error="no")
    started = await place.acme.start("Other", {"input": {"zip": "1"}})
    await place.worker.ends(started, None)
    nothing = (await place.acme.ended(started))["taskRunId"]
    parked = (await place.acme.post(f"/taskruns/{bad}/restart-as-parked", status=201))["taskRunId"]

    async def ids(**query: object) -> list[int]:
        return [run["taskRunId"] for run in await place.acme.get("/taskruns", **query)]

    at = (await place.acme.get(f"/taskruns/{bad}"))["scheduled"]
    assert await ids() == [parked, nothing, bad, good[1], good[0]]
    assert await ids(taskId=other) == [nothing]
    assert await ids(taskId=[zip_code, other], statusId=[200, 201]) == [nothing, good[1], good[0]]
    assert await ids(statusId=[300, 999]) == [parked, bad]
    assert await ids(statusId=1) == []
    assert await ids(dateFrom=at, taskId=zip_code) == [parked, bad]
    assert await ids(dateTo=at) == [good[1], good[0]]
    assert await ids(dateFrom=at, dateTo=at) == []
    assert await ids(dateFrom=at, statusId=300, taskId=zip_code, count=1) == [bad]
    assert await ids(taskId=other, statusId=300) == []
    assert await ids(dateFrom="2020-01-01", dateTo="2020-02-01T00:00:00+02:00") == []


async def test_task_runs_come_in_pages(place: Place) -> None:
    runs = [await place.acme.start() for _ in range(5)]
    seen: list[int] = []
    query: dict[str, int] = {"count": 2}
    while True:
        answer = await place.acme.http.get("/taskruns", params=query)
        seen += [run["taskRunId"] for run in answer.json()]
        if answer.headers["x-has-more"] == "false":
            break
        query["beforeId"] = seen[-1]

    assert seen == runs[::-1]
    unknown = await place.acme.http.get("/taskruns", params={"beforeId": 999999999})
    assert unknown.status_code == 400


async def test_an_unparked_run_is_scheduled_when_it_was_unparked(place: Place) -> None:
    old = await place.finished()
    created = await place.acme.post(f"/taskruns/{old}/restart-as-parked", status=201)
    parked = created["taskRunId"]
    before = (await place.acme.get(f"/taskruns/{parked}"))["scheduled"]
    await asyncio.sleep(0.01)  # noqa: TID251 - another millisecond
    unparked = await place.acme.post(f"/taskruns/{parked}/unpark")
    again = await place.acme.http.post(f"/taskruns/{parked}/unpark")
    since = await place.acme.get("/taskruns", dateFrom=unparked["scheduled"])

    assert unparked["statusId"] == 1
    assert unparked["scheduled"] > before
    assert (again.status_code, again.json()["code"]) == (409, "not_parked")
    assert [run["taskRunId"] for run in since] == [parked]


async def test_a_task_run_is_restarted_again_and_again(place: Place) -> None:
    original = await place.finished(error="no")
    first = await place.acme.post(f"/taskruns/{original}/restart", status=201)
    await place.worker.ends(first["taskRunId"], error="no again")
    await place.acme.ended(first["taskRunId"])
    second = await place.acme.post(f"/taskruns/{first['taskRunId']}/restart-as-parked", status=201)
    third = await place.acme.post(f"/taskruns/{second['taskRunId']}/restart", status=201)

    assert [run["level"] for run in (first, second, third)] == [1, 2, 3]
    assert [run["statusId"] for run in (first, second, third)] == [1, 999, 1]
    assert first["restartedFromId"] == original
    detail = await place.acme.get(f"/taskruns/{third['taskRunId']}")
    assert (detail["trigger"], detail["originalTaskRunId"]) == ("Restart", original)
    level = await place.acme.get(f"/taskruns/{second['taskRunId']}/level")
    assert level == {"taskRunId": second["taskRunId"], "level": 2}
    assert (await place.acme.get(f"/taskruns/{original}"))["restartCount"] == 1
    assert await place.acme.status(original) == 300


async def test_a_detail_shows_history_and_steps(place: Place) -> None:
    run = await place.finished(error="no such zip")

    detail = await place.acme.get(f"/taskruns/{run}")

    assert detail["message"] == "ValueError: no such zip"
    assert [entry["statusId"] for entry in detail["history"]] == [1, 100, 300]
    [step] = detail["steps"]
    assert (step["name"], step["connector"]) == ("Zip code", "tasks.zip_code")
    assert (step["statusId"], step["attempt"]) == (300, 1)
    assert step["agentId"] == (await place.acme.get("/agents"))[0]["agentId"]
    assert detail["waitTimeMs"] >= 0
    assert detail["execTimeMs"] >= 0
    assert detail["priority"] == 50


async def logged(place: Place, run: int) -> None:
    """Let the run log one line of each level."""
    assigned = await place.worker._has(run)
    now = place.server.engine.clock.now()
    lines = tuple(LogLine(level + 1, now, level, f"at {level.word}") for level in LogLevel)
    place.server.engine.logged(
        place.worker.session, assigned.claimed.run_id, assigned.claimed.token, lines, 0
    )


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (None, ["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]),
        ("Warning", ["Warning", "Error", "Fatal"]),
        ("wArNiNg", ["Warning", "Error", "Fatal"]),
        ("3", ["Warning", "Error", "Fatal"]),
        ("5", ["Fatal"]),
        ("0", ["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]),
    ],
)
async def test_logs_are_filtered_by_their_least_level(
    place: Place, level: str | None, shown: list[str]
) -> None:
    run = await place.acme.start()
    await place.worker.begins(run)
    await logged(place, run)

    records = await place.acme.get(
        f"/taskruns/{run}/logs", **({} if level is None else {"minLogLevel": level})
    )

    assert [record["level"] for record in records] == shown
    assert [record["id"] for record in records] == list(range(7 - len(shown), 7))
    agent = (await place.acme.get("/agents"))[0]["agentId"]
    assert {record["agentId"] for record in records} == {agent}
    assert {record["stepId"] for record in records} == {1}
    assert records[0]["keys"] == {"attempt": 1}
    assert records[0]["date"].endswith("Z")


async def test_logs_come_in_pages(place: Place) -> None:
    run = await place.acme.start()
    await place.worker.begins(run)
    await place.worker.logs(run, *[f"line {n}" for n in range(5)])
    answer = await place.acme.http.get(f"/taskruns/{run}/logs", params={"count": 2, "afterId": 1})
    last = await place.acme.http.get(f"/taskruns/{run}/logs", params={"count": 2, "afterId": 3})
    other_step = await place.acme.get(f"/taskruns/{run}/logs", stepId=2)
    own_step = await place.acme.get(f"/taskruns/{run}/logs", stepId=1)

    assert [record["message"] for record in answer.json()] == ["line 1", "line 2"]
    assert answer.headers["x-has-more"] == "true"
    assert [record["id"] for record in last.json()] == [4, 5]
    assert last.headers["x-has-more"] == "false"
    assert (len(other_step), len(own_step)) == (0, 5)


# ---------------------------------------------------------------- extensions


async def test_a_run_is_cancelled_whatever_its_status(place: Place) -> None:
    running = await place.acme.start()
    await place.worker.begins(running)
    await place.acme.until(running, 100)
    old = await place.finished()
    parked = (await place.acme.post(f"/taskruns/{old}/restart-as-parked", status=201))["taskRunId"]

    ended = [await place.acme.post(f"/taskruns/{run}/cancel") for run in (running, parked)]
    again = await place.acme.http.post(f"/taskruns/{running}/cancel")

    assert [run["statusId"] for run in ended] == [303, 303]
    assert (again.status_code, again.json()["code"]) == (409, "already_final")


async def test_a_wait_answers_when_the_run_ends_or_its_time_is_over(place: Place) -> None:
    run = await place.acme.start()
    early = await place.acme.get(f"/taskruns/{run}/wait", timeout=0.01)
    waiting = asyncio.ensure_future(place.acme.get(f"/taskruns/{run}/wait", timeout=60))
    await place.worker.ends(run)

    assert early["finished"] is None
    assert (await waiting)["statusId"] == 200


async def test_a_wait_ends_with_the_right_to_look(place: Place) -> None:
    run = await place.acme.start()
    waiting = asyncio.ensure_future(
        place.acme.http.get(f"/taskruns/{run}/wait", params={"timeout": 1})
    )
    await place.acme.http.get("/agents")
    await place.server.engine.remote_control.forbid(place.acme.company)

    assert (await waiting).status_code == 403


async def test_metrics_are_the_companys_own(place: Place) -> None:
    run = await place.acme.start()
    await place.worker.begins(run)
    await place.acme.until(run, 100)
    answer = await place.acme.http.get("/metrics")
    other = await place.globex.http.get("/metrics")

    line = 'runyard_remote_task_runs{group="In progress",task="Zip code"}'
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert f"{line} 1.0" in answer.text
    assert f"{line} 0.0" in other.text
    assert "runyard_remote_orchestrator_runnable 1.0" in answer.text
