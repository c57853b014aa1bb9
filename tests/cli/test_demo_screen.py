"""What the demo leaves out of answers, and what it never does."""

import json

import pytest

from runyard.cli.demo_screen import Screen
from runyard.sdk.client.requests import Answer, Request

FIRST = {
    "id": 1,
    "state": "completed",
    "priority": 50,
    "created_at": "2026-03-01T08:00:00Z",
    "error": None,
    "input": {"zip": "76131"},
    "outputs": {"place": "Fort Worth"},
}
LATER = {**FIRST, "id": 2, "created_at": "2026-03-01T09:00:00Z"}


def shown(capsys: pytest.CaptureFixture[str], screen: Screen, answer: object) -> object:
    """What is printed of an answer, read again."""
    body = json.dumps(answer).encode()
    request = Request(method="GET", path="/runs/1")
    headers = {"content-type": "application/json"}
    screen.exchange(request, Answer(status_code=200, headers=headers, body=body))
    printed = capsys.readouterr().out
    return json.loads(printed[printed.index("200") + 3 :])


def test_the_first_of_a_kind_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, Screen(), FIRST) == FIRST


def test_of_a_later_one_what_is_new_is_shown_with_its_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen()
    shown(capsys, screen, FIRST)

    assert shown(capsys, screen, LATER) == {
        "id": 2,
        "state": "completed",
        "input": {"zip": "76131"},
        "outputs": {"place": "Fort Worth"},
        "…": "3 more",
    }
    changed = shown(capsys, screen, {**LATER, "priority": 20, "error": {"kind": "ValueError"}})
    assert isinstance(changed, dict)
    assert (changed["priority"], changed["error"]) == (20, {"kind": "ValueError"})


def test_small_objects_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()

    for _ in range(2):
        assert shown(capsys, screen, [{"id": 1, "state": "queued"}]) == [
            {"id": 1, "state": "queued"}
        ]


def test_everything_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(whole=True)
    shown(capsys, screen, FIRST)

    assert shown(capsys, screen, LATER) == LATER
