"""Runs over the native API."""

import asyncio

import pytest

from tests.dialects.native.conftest import Place, answer_to_announcement

RUNS = "/runs"


async def test_one_run_is_started_executed_and_shown_with_its_values(place: Place) -> None:
    started = await place.acme.post(RUNS, json={"task": "Zip code", "input": {"zip": "76131"}})

    assert started.status_code == 201
    assert set(started.json()) == {"id", "public_id", "state"}
    run = started.json()["id"]
    await place.worker.begins(run)
    await place.worker.logs(run, "looking")
    await place.worker.ends(run, b'{"place":"Fort Worth"}')
    waited = await place.acme.get(f"{RUNS}/{run}/wait")
    shown = (await place.acme.get(f"{RUNS}/{started.json()['public_id']}")).json()
    assert waited.json() == shown
    assert shown["state"] == "completed"
    assert shown["cause"] == "returned"
    assert shown["task"]["name"] == "Zip code"
    assert shown["input"] == {"zip": "76131"}
    assert shown["outputs"] == {"place": "Fort Worth"}
    assert shown["error"] is None
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["returned"]


async def test_many_runs_start_in_the_order_of_the_request(place: Place) -> None:
    runs = [{"task": "Zip code", "input": {"zip": str(at)}} for at in range(5)]

    started = await place.acme.post(RUNS, json={"runs": runs})

    assert started.status_code == 201
    ids = [run["id"] for run in started.json()["runs"]]
    assert ids == sorted(ids)
    shown = [(await place.acme.get(f"{RUNS}/{run}")).json()["input"]["zip"] for run in ids]
    assert shown == ["0", "1", "2", "3", "4"]


async def test_several_runs_start_all_or_none(place: Place) -> None:
    runs = [{"task": "Zip code", "input": {"zip": "1"}}, {"task": "Zip code", "input": {"zip": 2}}]

    refused = await place.acme.post(RUNS, json={"runs": runs})

    assert refused.status_code == 400
    assert (await place.acme.get(RUNS)).json()["total"] == 0


async def test_the_same_idempotency_key_starts_once(place: Place) -> None:
    body = {"task": "Zip code", "input": {"zip": "76131"}}
    key = {"idempotency-key": "k1"}

    first = await place.acme.post(RUNS, json=body, headers=key)
    again = await place.acme.post(RUNS, json=body, headers=key)
    other = await place.acme.post(RUNS, json={**body, "priority": 3}, headers=key)

    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"
    assert (await place.acme.get(RUNS)).json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "task"),
        ({"task": "Zip code", "input": {"zip": 5}}, 400, "zip"),
        ({"task": "Zip code", "input": {}}, 400, "zip"),
        ({"task": "Zip code", "input": {"zip": "1", "zap": "2"}}, 400, "zap"),
        ({"task": "Zip code", "input": []}, 400, "input"),
        ({"task": "Zip code", "input": {"zip": "1"}, "priority": 100}, 400, "priority"),
        ({"task": "Zip code", "input": {"zip": "1"}, "due_at": "2026-01-01T00:00"}, 400, "due_at"),
        ({"task": "Zip code", "inputs": {"zip": "1"}}, 400, "inputs"),
        ({"runs": []}, 400, "runs"),
        ({"runs": [{"task": "Zip code"}] * 1001}, 400, "runs"),
        ({"runs": [{"task": "Zip code"}], "task": "Zip code"}, 400, "runs"),
        ([], 400, "body"),
    ],
)
async def test_a_start_that_does_not_fit_names_the_field(
    place: Place, body: object, status: int, field: str
) -> None:
    refused = await place.acme.post(RUNS, json=body)

    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert field in refused.text
    assert refused.json()["problems"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "words"),
    [
        (b'{"task":', "application/json", 400, "ends too early"),
        (b'{"task": "a",\n "input": \xc2\xa0{}}', "application/json", 400, "NO-BREAK SPACE"),
        (b'{"task": "a", "task": "b"}', "application/json", 400, "twice"),
        (b'{"task":"Zip code","input":{"zip":"1","zip":"2"}}', "application/json", 400, "twice"),
        (b'{"task": "\xff"}', "application/json", 400, "UTF-8"),
        (
            b'{"task":"a","input":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
            "application/json",
            400,
            "deep",
        ),
        (b"task=Zip+code", "application/x-www-form-urlencoded", 415, "curl -d alone"),
        (b"", "application/json", 400, "empty"),
        (b"{}", "", 415, "application/json"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_the_reason(
    place: Place, content: bytes, content_type: str, status: int, words: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    refused = await place.acme.post(RUNS, content=content, headers=headers)

    assert refused.status_code == status, refused.text
    assert words in refused.json()["detail"]


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(place: Place) -> None:
    size = place.server.house.limits.starts + 1

    answer = await answer_to_announcement(place, "/runs", "application/json", size)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too_large" in answer


async def test_a_client_that_writes_all_before_it_reads_learns_why_it_was_refused(
    place: Place,
) -> None:
    """The connection was closed under its hands, which destroyed the answer on its way."""
    size = 32 * 1024 * 1024

    answer = await answer_to_announcement(place, "/runs", "application/json", size, sent=size)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too_large" in answer


async def test_an_unannounced_body_beyond_the_limit_is_refused(place: Place) -> None:
    limit = place.server.house.limits.starts

    async def more_than_allowed():
        for _ in range(limit // 65536):
            yield b" " * 65536
        yield b"{"

    refused = await place.acme.post(
        RUNS, content=more_than_allowed(), headers={"content-type": "application/json"}
    )

    assert refused.status_code == 413


async def test_input_beyond_the_limit_of_values_is_refused(place: Place) -> None:
    body = {"task": "Zip code", "input": {"zip": "x" * (4 * 1024 * 1024 + 1)}}

    refused = await place.acme.post(RUNS, json=body)

    assert refused.status_code == 413
    assert refused.json()["code"] == "too_large"


async def test_lists_page_by_cursor_and_keep_every_filter(place: Place) -> None:
    ids = [await place.start(parked=True) for _ in range(5)]
    await place.start()

    first = (await place.acme.get(RUNS, params={"state": "parked", "limit": 2})).json()
    second = (
        await place.acme.get(RUNS, params={"state": "parked", "limit": 2, "cursor": first["next"]})
    ).json()
    third = (
        await place.acme.get(RUNS, params={"state": "parked", "limit": 2, "cursor": second["next"]})
    ).json()

    seen = [run["id"] for page in (first, second, third) for run in page["items"]]
    assert seen == list(reversed(ids))
    assert first["total"] == 5
    assert first["total_is_exact"] is True
    assert third["next"] is None


async def test_a_page_with_large_values_ends_early_and_goes_on(place: Place) -> None:
    large = "x" * 3_000_000
    ids = [await place.start(large, parked=True) for _ in range(18)]

    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = (await place.acme.get(f"{RUNS}?values=true&limit=100{cursor}")).json()
        seen += [run["id"] for run in page["items"] if len(run["input"]["zip"]) == len(large)]
        cursor = page["next"] and f"&cursor={page['next']}"
        pages += 1

    assert seen == list(reversed(ids))
    assert pages == 3


@pytest.mark.parametrize(
    "query",
    [
        "task=Zip%20code",
        "state=parked&state=queued&state=running",
        "created_from=2020-01-01T00:00:00Z",
        "trigger=api",
        "values=true",
    ],
)
async def test_filters_that_fit_find_the_run(place: Place, query: str) -> None:
    run = await place.start(parked=True)

    found = (await place.acme.get(f"{RUNS}?{query}")).json()

    assert [item["id"] for item in found["items"]] == [run]


@pytest.mark.parametrize(
    "query",
    [
        "state=completed",
        "cause=raised",
        "created_before=2020-01-01T00:00:00Z",
        "finished_from=2020-01-01T00:00:00Z",
        "finished_before=2020-01-01T00:00:00Z",
        "worker=999",
        "schedule=999",
        "restarted_from=999",
        "trigger=schedule",
    ],
)
async def test_filters_that_do_not_fit_find_nothing(place: Place, query: str) -> None:
    await place.start(parked=True)

    found = (await place.acme.get(f"{RUNS}?{query}")).json()

    assert found["items"] == []


@pytest.mark.parametrize(
    ("query", "field", "allowed"),
    [
        ("state=done", "state", "parked, preparing"),
        ("limit=0", "limit", ">= 1"),
        ("limit=501", "limit", "<= 500"),
        ("limit=1&limit=2", "limit", "one value"),
        ("cursor=nonsense", "cursor", "earlier page"),
        ("created_from=yesterday", "created_from", "RFC3339"),
        ("status=parked", "status", "state"),
        ("worker=x", "worker", "a whole number"),
    ],
)
async def test_a_query_that_does_not_fit_names_the_field(
    place: Place, query: str, field: str, allowed: str
) -> None:
    refused = await place.acme.get(f"{RUNS}?{query}")

    assert refused.status_code == 400, refused.text
    [problem] = refused.json()["problems"]
    assert problem["field"].startswith(field)
    assert allowed in problem["allowed"]


async def test_a_parked_run_is_released_and_a_queued_one_parked(place: Place) -> None:
    run = await place.start(parked=True)

    released = await place.acme.post(f"{RUNS}/{run}/release")
    parked = await place.acme.post(f"{RUNS}/{run}/park")
    again = await place.acme.post(f"{RUNS}/{run}/park")

    assert released.json()["state"] == "queued"
    assert parked.json()["state"] == "parked"
    assert again.status_code == 409
    assert again.json()["code"] == "illegal_transition"


async def test_a_cancelled_run_ends_and_cannot_be_cancelled_again(place: Place) -> None:
    run = await place.start()
    await place.worker.begins(run)

    cancelled = await place.acme.post(f"{RUNS}/{run}/cancel")
    again = await place.acme.post(f"{RUNS}/{run}/cancel")

    assert cancelled.json()["state"] == "cancelled"
    assert again.status_code == 409


async def test_a_running_run_is_killed_and_confirmed(place: Place) -> None:
    run = await place.start()
    await place.worker.begins(run)

    killed = await place.acme.post(f"{RUNS}/{run}/kill")

    assert killed.status_code == 200
    assert killed.json()["confirmed"] is True
    assert killed.json()["run"]["state"] == "cancelled"


async def test_only_a_running_run_can_be_killed(place: Place) -> None:
    run = await place.start(parked=True)

    refused = await place.acme.post(f"{RUNS}/{run}/kill")

    assert refused.status_code == 409


async def test_a_restart_is_a_new_run_one_level_up(place: Place) -> None:
    run = await place.finished()

    again = await place.acme.post(f"{RUNS}/{run}/restart", json={"parked": True})
    bare = await place.acme.post(f"{RUNS}/{run}/restart")

    assert again.status_code == 201
    assert again.json()["level"] == 1
    assert again.json()["restarted_from"] == run
    assert again.json()["state"] == "parked"
    assert bare.status_code == 201


async def test_a_run_that_waits_or_runs_cannot_be_restarted(place: Place) -> None:
    run = await place.start()

    refused = await place.acme.post(f"{RUNS}/{run}/restart")

    assert refused.status_code == 409


async def test_a_wait_answers_when_its_time_is_over(place: Place) -> None:
    run = await place.start(parked=True)

    waited = await place.acme.get(f"{RUNS}/{run}/wait?timeout=0.05")

    assert waited.status_code == 200
    assert waited.json()["state"] == "parked"


async def test_a_wait_answers_as_soon_as_the_run_has_ended(place: Place) -> None:
    run = await place.start()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(place.acme.get(f"{RUNS}/{run}/wait?timeout=60"))
        await place.worker.ends(run, error="no such place")

    assert waiting.result().json()["state"] == "failed"
    assert waiting.result().json()["error"]["message"] == "no such place"


async def test_logs_are_read_by_level_and_from_a_line_on(place: Place) -> None:
    run = await place.start()
    await place.worker.logs(run, "one", "two", "three")

    all_lines = (await place.acme.get(f"{RUNS}/{run}/logs")).json()
    later = (await place.acme.get(f"{RUNS}/{run}/logs?after=2")).json()
    first = (await place.acme.get(f"{RUNS}/{run}/logs?limit=1")).json()
    errors = (await place.acme.get(f"{RUNS}/{run}/logs?level=error")).json()
    wrong = await place.acme.get(f"{RUNS}/{run}/logs?level=loud")

    assert [line["text"] for line in all_lines["lines"]] == ["one", "two", "three"]
    assert all_lines["lines"][0]["level"] == "info"
    assert [line["number"] for line in later["lines"]] == [3]
    assert first["next_after"] == 1
    assert errors["lines"] == []
    assert wrong.status_code == 400


async def test_explain_names_what_holds_a_run_back(place: Place) -> None:
    run = await place.start(parked=True)

    told = (await place.acme.get(f"{RUNS}/{run}/explain")).json()

    assert told["run_id"] == run
    assert [reason["code"] for reason in told["reasons"]] == ["parked"]
    assert told["reasons"][0]["action"]


async def test_a_run_without_files_lists_none(place: Place) -> None:
    run = await place.start(parked=True)

    listed = (await place.acme.get(f"{RUNS}/{run}/files")).json()

    assert listed["items"] == []


# ---------------------------------------------------------------- runs that do not wait


async def test_a_run_that_does_not_wait_has_a_slot_or_has_failed_when_it_is_answered(
    place: Place,
) -> None:
    body = {"task": "Zip code", "input": {"zip": "76131"}, "at_once": True}
    await place.acme.put("/orchestrator", json={"runnable": False})
    failed = (await place.acme.post(RUNS, json=body)).json()
    waiting = {"task": "Zip code", "input": {"zip": "76131"}}
    several = (await place.acme.post(RUNS, json={"runs": [body, waiting, body]})).json()["runs"]
    await place.acme.put("/orchestrator", json={"runnable": True})

    taken = (await place.acme.post(RUNS, json=body)).json()
    await place.worker.ends(taken["id"], b'{"place":"Fort Worth"}')

    shown = (await place.acme.get(f"{RUNS}/{failed['id']}")).json()
    history = (await place.acme.get(f"{RUNS}/{failed['id']}/history")).json()
    assert failed["state"] == "failed"
    assert [run["state"] for run in several] == ["failed", "queued", "failed"]
    assert (shown["cause"], shown["attempt"]) == ("no_slot", 0)
    assert "no slot was free" in history["moments"][-1]["note"]
    ended = (await place.acme.get(f"{RUNS}/{taken['id']}/wait")).json()
    assert ended["state"] == "completed"
    await place.worker.ends(several[1]["id"], b'{"place":"Fort Worth"}')


async def test_the_same_key_answers_what_became_of_a_run_that_does_not_wait(place: Place) -> None:
    body = {"task": "Zip code", "input": {"zip": "76131"}, "at_once": True}
    key = {"idempotency-key": "at-once"}
    await place.acme.put("/orchestrator", json={"runnable": False})

    first = await place.acme.post(RUNS, json=body, headers=key)
    await place.acme.put("/orchestrator", json={"runnable": True})
    again = await place.acme.post(RUNS, json=body, headers=key)

    assert first.json() == again.json()
    assert again.json()["state"] == "failed"


@pytest.mark.parametrize("more", [{"parked": True}, {"due_at": "2030-01-01T00:00:00Z"}])
async def test_what_waits_by_itself_is_not_to_be_at_once(place: Place, more: dict) -> None:
    body = {"task": "Zip code", "input": {"zip": "76131"}, "at_once": True, **more}

    refused = await place.acme.post(RUNS, json=body)

    assert refused.status_code == 400
    assert refused.json()["problems"][0]["field"] == "at_once"
