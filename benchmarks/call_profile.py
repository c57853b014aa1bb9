"""Where the microseconds of one call go: `python -m benchmarks.call_profile [--calls 3000]`.

Server and worker in this process, as `runyard serve` has them; only the network is left out: requests are
handed to a connection of the server one after the other. Each is marked on its way, and the table has the medians
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

import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks import calls, machine, processes, wrk
from benchmarks.runyard_side import deployed
from runyard.cli.joined import open_runyard
from runyard.dialects.automation_anywhere.routes import automation_anywhere_doors
from runyard.dialects.automation_anywhere.short_execution import ShortExecution
from runyard.dialects.native.routes import native_door
from runyard.engine.calls import Calls as EngineCalls
from runyard.server.settings import Settings
from runyard.server.short_ways import KnownHeads, ShortHttp
from runyard.web.asgi import App
from runyard.web.dispatcher import Dispatcher
from runyard.web.short_calls import ShortCall
from runyard.worker.calls import Calls as WorkerCalls
from runyard.worker.child import Child

_MARKED: tuple[tuple[type, str, str], ...] = (
    (ShortCall, "take", "its head found among those that are known"),
    (ShortExecution, "begin", "the caller recognised"),
    (EngineCalls, "begin", "values of the dialect read, as JSON"),
    (EngineCalls, "_execute", "all that was found looked at, input judged, a place, ids"),
    (WorkerCalls, "call", "to the worker"),
    (Child, "send", "a child chosen, the packet"),
    (Child, "send>", "the packet sent"),
    (WorkerCalls, "_has_finished", "the child: two wake-ups, and what it does"),
    (EngineCalls, "ended", "its report judged, what it printed read, the child at rest"),
    (ShortCall, "answer", "output judged, record kept, the place given back"),
    (ShortHttp, "answer", "values of the dialect written"),
)
"""Class, function (`>`: its end), and what happened since the mark before."""
_LAST = "the answer put together"

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
        caller = Caller(app, request)
        for _ in range(count // 10 + 2):  # the first takes the ordinary way, and others warm up
            await caller.call()
        marks = Marks()
        parts: defaultdict[str, list[int]] = defaultdict(list)
        for _ in range(count):
            marks.passed.clear()
            began = time.perf_counter_ns()
            await caller.call()
            marks.note(_LAST)
            if len(marks.passed) != len(_MARKED) + 1:
                raise processes.ProgramFailed(f"not the short way: {marks.passed}")
            for label, at in marks.passed:
                parts[label].append(at - began)
                began = at
    return {label: statistics.median(took) / 1000 for label, took in parts.items()}


class Caller(asyncio.Transport):
    """A client without a network: hands the server's connection a request and waits for its answer."""

    def __init__(self, app: App, request: wrk.Request) -> None:
        super().__init__()
        self._answered = asyncio.Event()
        self._said = b""
        path = "/" + request.url.split("/", 3)[3]
        lines = [f"POST {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        lines += [f"Content-Length: {len(request.body)}", "", ""]
        self._request = "\r\n".join(lines).encode() + request.body
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        config.load()
        self._connection = ShortHttp(
            KnownHeads(), config=config, server_state=ServerState(), app_state={}
        )
        self._connection.connection_made(self)

    async def call(self) -> None:
        """Execute once."""
        self._answered.clear()
        self._connection.data_received(self._request)
        await self._answered.wait()
        if not self._said.startswith(b"HTTP/1.1 200"):
            raise processes.ProgramFailed(self._said.decode())

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Here comes the answer."""
        self._said = data
        self._answered.set()

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """There is nothing to know of it."""
        return default


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
