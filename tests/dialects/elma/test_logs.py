"""The log of a task: the vendor's line form, in order, capped, and never silent about a failure."""

import re
from datetime import timedelta

import pytest

from runyard.dialects.elma.logs import HALF, CappedText
from runyard.model.errors import IllegalTransition
from runyard.model.ids import RunId
from runyard.model.tasks import Policies, RetryPolicy
from tests.dialects.elma.conftest import Place, an_intake, lines_of

LINE = re.compile(
    r"\[(?:VRB|DBG|INF|WRN|ERR|FTL)\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d \| \[[\w.]+\] \| .+"
)
CUT = re.compile(
    r"\[WRN\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d \| \[Server.Queue\] \| ([\d,]+) lines are left out here\n"
)


def texts(log: list[str]) -> list[str]:
    """What the lines say, and who says it."""
    return [line.split(" | ", 1)[1] for line in log]


async def test_lines_of_the_task_stand_between_its_beginning_and_its_end(place: Place) -> None:
    task = await place.bpm.create()
    await place.worker.begins(task)
    await place.worker.logs(task, "one page", "two\nlines", "[ERR] 2031/04/20 | forged")
    await place.worker.ends(task, b"{}")
    log = lines_of(await place.bpm.until(task, "DONE"))

    assert all(LINE.fullmatch(line) for line in log)
    assert texts(log) == [
        "[Worker.Run] | Process 'Order intake' started: version 1, attempt 1",
        "[Worker.Task] | one page",
        "[Worker.Task] | two lines",
        "[Worker.Task] | [ERR] 2031/04/20 | forged",
        "[Worker.Run] | Process 'Order intake' finished",
    ]


async def test_values_of_variables_are_not_told(place: Place) -> None:
    task = await place.bpm.create({"StringParam_in": "a secret", "Password": "another secret"})
    await place.worker.ends(task, b'{"StringValue_out":"a third"}')
    done = await place.bpm.until(task, "DONE")

    assert "secret" not in done["log"]
    assert "third" not in done["log"]


@pytest.mark.parametrize("way", ["cancelled", "killed"])
async def test_a_task_that_was_stopped_by_an_operator_says_so(place: Place, way: str) -> None:
    engine, company = place.server.engine, place.bpm.company
    task = await place.bpm.create()
    await place.worker.begins(task)
    if way == "killed":
        await place.bpm.until(task, "EXECUTING")
        await engine.runs.kill(company, str(task))
    else:
        await engine.runs.cancel(company, str(task))
    stopped = await place.bpm.until(task, "ERROR")

    assert texts(lines_of(stopped))[-1] == "[Server.Queue] | Cancelled while it was under way"
    assert "bot" in stopped
    with pytest.raises(IllegalTransition):
        await engine.runs.withdraw(company, str(task), "too late")


async def test_a_held_task_is_in_the_queue_and_its_log_says_that_it_is_held(place: Place) -> None:
    await place.server.engine.orchestrator.pause(place.bpm.company)
    task = await place.bpm.create()
    await place.server.engine.runs.park(place.bpm.company, str(task))

    held = await place.bpm.status(task)

    assert held["status"] == "QUEUE"
    assert texts(lines_of(held)) == ["[Server.Queue] | Held aside by an operator"]


async def test_attempts_follow_each_other(place: Place) -> None:
    again = Policies(retry=RetryPolicy(retries=1, delay=timedelta(milliseconds=1)))
    await place.deploy(an_intake(again, fingerprint="2"))
    task = await place.bpm.create()
    await place.worker.begins(task)
    await place.worker.logs(task, "first try")
    await place.worker.ends(task, error="not now")
    assert await place.taken([task]) == task
    await place.worker.begins(task)
    await place.worker.logs(task, "second try", attempt=2)
    await place.worker.ends(task, error="not ever")
    log = lines_of(await place.bpm.until(task, "ERROR"))

    assert texts(log) == [
        "[Worker.Run] | Process 'Order intake' started: version 2, attempt 1",
        "[Worker.Task] | first try",
        "[Worker.Run] | Attempt 1 ended: ValueError: not now; another one follows",
        "[Worker.Run] | Process 'Order intake' started: version 2, attempt 2",
        "[Worker.Task] | second try",
        "[Worker.Run] | ValueError: not ever",
    ]


async def test_a_very_long_log_keeps_its_beginning_and_its_end(place: Place) -> None:
    task = await place.bpm.create()
    await place.worker.begins(task)
    for part in range(30):
        lines = [f"line {part * 500 + n:05} {'x' * 60}" for n in range(500)]
        await place.worker.logs(task, *lines, first=part * 500 + 1)
        await place.server.engine.logs.flush()
    await place.worker.ends(task, error="at last")
    log = (await place.bpm.until(task, "ERROR"))["log"]

    assert 2 * HALF - 4096 < len(log.encode()) <= 2 * HALF + 4096
    [left_out] = CUT.findall(log)
    lines = log.splitlines()
    assert "line 00000" in lines[1]
    assert lines[-1].endswith("ValueError: at last")
    assert "line 14999" in lines[-2]
    assert len(lines) - 1 + int(left_out.replace(",", "")) == 15_000 + 2
    assert RunId(task) not in place.worker.assigned


# ---------------------------------------------------------------- the cap


def a_line(number: int, size: int = 100) -> str:
    return f"[INF] 2031/04/20 08:15:41 | [A.B] | {number:06} ".ljust(size - 1, "ü") + "\n"


def test_a_short_text_is_whole() -> None:
    text = CappedText()
    for number in range(10):
        text.add(a_line(number))

    assert text.joined() == "".join(a_line(number) for number in range(10))


def test_a_long_text_is_cut_by_bytes_in_its_middle() -> None:
    text, count = CappedText(), 20_000
    for number in range(count):
        text.add(a_line(number))
    found = text.joined()

    [left_out] = CUT.findall(found)
    assert len(found.encode()) <= 2 * HALF + 200
    assert found.startswith(a_line(0))
    assert found.endswith(a_line(count - 1))
    assert len(found.splitlines()) - 1 + int(left_out.replace(",", "")) == count


def test_one_line_larger_than_all_is_kept() -> None:
    text = CappedText()
    text.add("x" * (HALF + 1))

    assert text.joined() == "x" * (HALF + 1)
