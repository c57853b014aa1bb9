"""Where the microseconds of one call go: `python -m benchmarks.call_profile [--calls 3000]`.

Server and worker in this process, as `runyard serve` has them; only HTTP is left out: requests are handed
to the server's application one after the other. Each is marked on its way, and the table has the medians
of the parts between the marks. Marking costs some tenths of a microsecond a part.
"""

import argparse
import asyncio
import functools
import inspect
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import calls, machine, processes, wrk
from benchmarks.runyard_side import deployed
from runyard.cli.joined import open_runyard
from runyard.dialects.automation_anywhere.execution import Executor
from runyard.dialects.automation_anywhere.routes import automation_anywhere_doors
from runyard.dialects.native.routes import native_door
from runyard.engine.calls import Calls as EngineCalls
from runyard.server.settings import Settings
from runyard.web.asgi import App
from runyard.web.dispatcher import Dispatcher
from runyard.worker.calls import Calls as WorkerCalls
from runyard.worker.child import Child

_MARKED: tuple[tuple[type, str, str], ...] = (
    (Executor, "execute", "address and route found"),
    (Executor, "_admitted", "headers"),
    (Executor, "_admitted>", "token recognised, permission"),
    (Executor, "_serving", "body read, JSON, no name twice"),
    (Executor, "_serving>", "task, and the version that serves"),
    (EngineCalls, "call", "values of the dialect read, as JSON"),
    (EngineCalls, "_execute", "input judged, a place taken"),
    (EngineCalls, "_ended", "id, public id, what is under way"),
    (WorkerCalls, "call", "to the worker"),
    (Child, "send", "a child chosen, the packet"),
    (Child, "send>", "the packet sent"),
    (WorkerCalls, "_has_finished", "the child: two wake-ups, and what it does"),
    (EngineCalls, "ended", "its report judged, what it printed read"),
    (WorkerCalls, "_has_finished>", "the caller told, the child at rest"),
    (EngineCalls, "_execute>", "the caller awake, output judged, record kept"),
    (EngineCalls, "call>", "the place given back, the latency noted"),
)
"""Class, function (`>`: its end), and what happened since the mark before."""
_LAST = "values of the dialect written, the answer"

Mark = Callable[[str], None]


class Marks:
    """Instants on the way of one call."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, int]] = []
        for owner, name, label in _MARKED:
            self._put(owner, name, label)

    def _put(self, owner: type, name: str, label: str) -> None:
        function = getattr(owner, name.rstrip(">"))
        before, after = (_nothing, self.note) if name.endswith(">") else (self.note, _nothing)
        wrap = _waiting if inspect.iscoroutinefunction(function) else _plain
        setattr(owner, name.rstrip(">"), wrap(function, label, before, after))

    def note(self, label: str) -> None:
        """It has come here."""
        self.passed.append((label, time.perf_counter_ns()))


def _nothing(label: str) -> None:
    """No mark on this side."""


def _plain(function: Callable[..., Any], label: str, before: Mark, after: Mark) -> Any:  # noqa: ANN401
    @functools.wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
        before(label)
        found = function(*args, **kwargs)
        after(label)
        return found

    return marked


def _waiting(function: Callable[..., Any], label: str, before: Mark, after: Mark) -> Any:  # noqa: ANN401
    @functools.wraps(function)
    async def marked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
        before(label)
        found = await function(*args, **kwargs)
        after(label)
        return found

    return marked


async def profile(folder: Path, count: int) -> dict[str, float]:
    """Median microseconds of each part of an execution, in order."""
    settings = Settings(data=folder / "data", port=processes.free_port(), slots=2)
    async with open_runyard(settings) as server:
        request = await asyncio.to_thread(_request, folder / "data", settings.port)
        app = Dispatcher(automation_anywhere_doors(server.house), native_door(server.house))
        marks = Marks()
        parts: defaultdict[str, list[int]] = defaultdict(list)
        for number in range(count + count // 10):
            began = await _executed(app, request, marks)
            if number >= count // 10:  # the first ones warm up
                for label, at in marks.passed:
                    parts[label].append(at - began)
                    began = at
    return {label: statistics.median(took) / 1000 for label, took in parts.items()}


async def _executed(app: App, request: wrk.Request, marks: Marks) -> int:
    """Execute once; when that began."""
    path = "/" + request.url.split("/", 3)[3]
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    answered: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - what ASGI sends
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode()}
    marks.passed.clear()
    began = time.perf_counter_ns()
    await app({**scope, "query_string": b"", "headers": headers}, receive, send)
    marks.note(_LAST)
    if answered[0]["status"] != 200:
        raise processes.ProgramFailed(str(answered))
    return began


def _request(data: Path, port: int) -> wrk.Request:
    return calls.calls_of(deployed(data, port), data)[calls.EXECUTE]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.call_profile", description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runyard-bench-", dir=machine.DISK) as name:
        folder = Path(name)
        folder.chmod(0o711)
        parts = uvloop.run(profile(folder, chosen.calls))
    for label, took in parts.items():
        print(f"{took:7.1f}  {label}")  # noqa: T201
    print(f"{sum(parts.values()):7.1f}  microseconds in all")  # noqa: T201


if __name__ == "__main__":
    main()
