"""`runyard callback` against a real server and a real receiver."""

from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.cli.conftest import Command
from tests.cli.receivers import receiving


def started(say: Command, url: str) -> Any:
    code, run = say("run", "start", "Greet", "-i", "name=Ann", "--callback", url, "--wait")
    assert code == 0
    return run


def test_a_run_tells_where_it_was_asked_to(say: Command) -> None:
    with receiving() as receiver:
        run = started(say, f"{receiver.url}/ended")
        [(headers, body)] = receiver.wait(1)

    _, secret = say("callback", "secret", as_json=False)
    told = Webhook(secret.strip()).verify(body, headers)
    assert told["data"]["id"] == run["id"]
    _, page = say("callback", "list", "--run", str(run["id"]))
    [callback] = page["items"]
    assert callback["url"] == f"{receiver.url}/ended"


def test_a_dead_callback_is_found_and_sent_again(say: Command) -> None:
    with receiving(410) as receiver:
        run = started(say, receiver.url)
        receiver.wait(1)
        dead = until(say, run, "dead")
        _, page = say("callback", "show", str(dead["id"]), as_json=False)
        code, again = say("callback", "resend", dead["public_id"])
        receiver.wait(2)
        until(say, run, "delivered")

    assert "410" in page
    assert code == 0
    assert again["id"] == dead["id"]


def test_all_dead_callbacks_are_sent_again(say: Command) -> None:
    with receiving(410, 410) as receiver:
        for _ in range(2):
            until(say, started(say, receiver.url), "dead")
        code, said = say("callback", "resend", "--dead")
        receiver.wait(4)

    assert code == 0
    assert said["resent"] >= 2


def until(say: Command, run: Any, state: str) -> Any:
    for _ in range(200):
        _, page = say("callback", "list", "--run", str(run["id"]))
        if page["items"][0]["state"] == state:
            return page["items"][0]
    raise AssertionError(f"not {state}: {page}")


@pytest.mark.parametrize("words", [(), ("17", "--dead")])
def test_sending_again_needs_one_callback_or_all_dead_ones(
    say: Command, words: tuple[str, ...]
) -> None:
    code, said = say("callback", "resend", *words)

    assert code == 2
    assert "either a callback or --dead" in said


def test_a_secret_is_rotated(say: Command) -> None:
    _, before = say("callback", "secret")

    _, after = say("callback", "secret", "--rotate")

    assert after["previous"] == before["secret"] != after["secret"]


def test_an_address_that_may_not_be_visited_is_told(say: Command) -> None:
    code, said = say("run", "start", "Greet", "-i", "name=Ann", "--callback", "http://10.0.0.1/")

    assert code != 0
    assert "callbacks[0].url" in said
    assert "rule: private" in said
    assert "allow_outbound" in said
