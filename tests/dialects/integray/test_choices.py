"""What the operator may choose: the route profile, and what the public pages leave open."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runyard.dialects.integray.routes import profile_from
from runyard.model.errors import InputRefused
from runyard.model.types import Field, Text
from runyard.server.settings import SettingsRefused, read_settings
from tests.dialects.integray.conftest import Place, a_bundle_of_bytes, controlled, remote
from tests.support.house import runyard
from tests.support.server import HandWorker, a_declaration, running_server

PROFILE = {
    "base": "/vendor/remote",
    "operations": {
        "startTask": {
            "method": "PUT",
            "path": "/{CompanySlug}/Task/Start",
            "params": {"taskId": "TaskID"},
        },
        "getOrchestratorStatus": {"path": "/Orchestrator/Status"},
        "setOrchestratorStatus": {"method": "PATCH", "path": "/Orchestrator/Status"},
        "getTaskRun": {"path": "/{CompanySlug}/TaskRun/{taskRunId}"},
        "getTaskRunLogs": {"params": {"minLogLevel": "level"}},
    },
    "names": {"taskRunId": "TaskRunID", "taskId": "TaskID", "isRunnable": "runnable"},
}


@asynccontextmanager
async def chosen(folder: Path, **settings: Any) -> AsyncIterator[Place]:
    """A server with these settings, a company on it, and its worker."""
    async with running_server(folder, **settings) as server, AsyncExitStack() as opened:
        worker = HandWorker(server.engine)
        await worker.connect(slots=10)
        acme = await controlled(server, "acme", opened)
        await server.engine.deploys.deploy(acme.company, "examples", a_bundle_of_bytes())
        yield Place(server, worker, acme, acme)


def written(folder: Path, profile: object) -> Path:
    path = folder / "profile.json"
    path.write_text(profile if isinstance(profile, str) else json.dumps(profile))
    return path


async def test_a_profile_moves_operations_and_renames_members(
    memory_path: Path, tmp_path: Path
) -> None:
    profile = written(tmp_path, PROFILE)
    async with (
        chosen(memory_path, integray_profile=profile) as place,
        remote(place.server, "/vendor/remote", place.acme.secret) as client,
    ):
        # An input that is named like a member stays what it is.
        own = Field(name="TaskID", parameter="task", type=Text())
        worker = place.worker
        worker.finds = [a_declaration(inputs=(own,), fingerprint="2")]
        await place.server.engine.deploys.deploy(
            place.acme.company, "examples", a_bundle_of_bytes()
        )
        tasks = (await client.get("/acme/tasks")).json()
        started = await client.put(
            f"/acme/Task/Start?TaskID={tasks[0]['TaskID']}", json={"input": {"TaskID": "1"}}
        )
        run = started.json()["TaskRunID"]
        shown = await client.get(started.headers["location"])
        by_header = await client.get("/Orchestrator/Status", headers={"CompanySlug": "acme"})
        body = {"runnable": False}
        switched = await client.patch("/Orchestrator/Status?CompanySlug=acme", json=body)
        wrong = await client.patch(
            "/Orchestrator/Status?CompanySlug=acme", json={"isRunnable": False}
        )
        logs = await client.get(f"/acme/taskruns/{run}/logs?level=Error")
        usual = await client.get(f"/acme/taskruns/{run}/logs?minLogLevel=Error")
        missing = await client.put("/acme/Task/Start", json={"input": {"TaskID": "1"}})
        old = await client.post("/acme/tasks/1/start")
        document = (await client.get("/openapi.json")).json()

    assert (started.status_code, shown.json()["TaskRunID"]) == (201, run)
    assert by_header.json()["runnable"]
    assert switched.json()["runnable"] is False
    assert wrong.json()["detail"] == (
        "isRunnable: an unknown name; allowed: it is called runnable here"
    )
    assert (logs.status_code, usual.status_code) == (200, 200)
    assert missing.json()["detail"] == "taskId: 0 values; allowed: one value"
    assert old.status_code == 404
    operation = document["paths"]["/vendor/remote/{CompanySlug}/Task/Start"]["put"]
    assert {p["name"]: p["in"] for p in operation["parameters"]} == {
        "CompanySlug": "path",
        "Idempotency-Key": "header",
        "TaskID": "query",
    }
    schema = document["components"]["schemas"]["TaskRunCreated"]
    assert {"TaskRunID", "TaskID"} <= set(schema["properties"])
    assert "TaskRunID" in schema["required"]
    assert "TaskRunID" in schema["examples"][0]


@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ("{", "a route profile, JSON"),
        ({"bases": "/x"}, "bases"),
        ({"base": "remote"}, "base: remote; allowed: a path such as /api/remote"),
        ({"operations": {"start": {}}}, "operations.start: start; allowed: getAgents"),
        (
            {"operations": {"startTask": {"method": "FETCH"}}},
            "operations.startTask.method: FETCH; allowed: GET, POST",
        ),
        (
            {"operations": {"startTask": {"path": "/{company}/start"}}},
            "operations.startTask.path: company; allowed: CompanySlug, taskId",
        ),
        ({"operations": {"startTask": {"path": "start it"}}}, "operations.startTask.path"),
        (
            {"operations": {"killTask": {"path": "/{CompanySlug}/tasks/{taskId}/clean"}}},
            "an address of its own",
        ),
        ({"names": {"taskId": "task id"}}, "names: taskId: task id"),
        ({"names": {"taskId": "id", "taskRunId": "id"}}, "one name for two members"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(
    tmp_path: Path, profile: object, named: str
) -> None:
    with pytest.raises(InputRefused) as refused:
        profile_from(written(tmp_path, profile))

    assert named in refused.value.detail


@pytest.mark.parametrize(
    ("base", "allowed"),
    [("remote", "a path such as /api/remote"), ("/runyard/v1", "at which nothing else answers")],
)
def test_a_server_does_not_start_with_a_profile_that_does_not_fit(
    memory_path: Path, tmp_path: Path, base: str, allowed: str
) -> None:
    profile = written(tmp_path, {"base": base})

    refused = runyard(
        "serve", "--data", str(memory_path), "--port", "0", RUNYARD_INTEGRAY_PROFILE=str(profile)
    )

    assert refused.returncode != 0
    assert f"integray_profile: base: {base}; allowed:" in " ".join(refused.stderr.split())
    assert allowed in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("integray_kill_status", "302"),
        ("integray_clean_mode", "drop"),
        ("integray_not_runnable", "maybe"),
        ("integray_profile", "/no/such/file"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        read_settings({}, {f"RUNYARD_{name.upper()}": value})

    assert refused.value.problems[0].field == f"RUNYARD_{name.upper()}"


async def test_killed_runs_are_shown_as_the_operator_wants(memory_path: Path) -> None:
    async with chosen(memory_path, integray_kill_status="301") as place:
        running = await place.acme.start()
        await place.worker.begins(running)
        await place.acme.until(running, 100)
        queued = await place.acme.start()
        await place.acme.post(f"/tasks/{await place.acme.task()}/clean")
        await place.acme.post(f"/tasks/{await place.acme.task()}/kill")
        listed = await place.acme.get("/taskruns", statusId=301)
        cancelled = await place.acme.get("/taskruns", statusId=303)

    assert [run["taskRunId"] for run in listed] == [running]
    assert [run["taskRunId"] for run in cancelled] == [queued]


async def test_cleaned_runs_are_deleted_where_that_was_chosen(memory_path: Path) -> None:
    async with chosen(memory_path, integray_clean_mode="delete") as place:
        await place.acme.put("/orchestrator/status", {"isRunnable": False})
        queued = await place.acme.start()
        cleaned = await place.acme.post(f"/tasks/{await place.acme.task()}/clean")
        gone = await place.acme.http.get(f"/taskruns/{queued}")

    assert cleaned["taskRunIds"] == [queued]
    assert gone.status_code == 404


async def test_a_start_queues_where_that_was_chosen(memory_path: Path) -> None:
    async with chosen(memory_path, integray_not_runnable="queue") as place:
        task = await place.acme.task()
        await place.acme.put(f"/tasks/{task}/runnability", {"isRunnable": False})
        run = await place.acme.start()
        waiting = await place.acme.status(run)
        await place.acme.put(f"/tasks/{task}/runnability", {"isRunnable": True})
        await place.worker.ends(run)
        ended = await place.acme.ended(run)

    assert (waiting, ended["statusId"]) == (1, 200)
