"""The HTTP load generator: Debian's wrk, driven by a small Lua script that reports JSON."""

import shutil
import tempfile
from pathlib import Path

import msgspec

from benchmarks import processes

_SCRIPT = """\
wrk.method = {method}
wrk.body = {body}
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write("\\nJSON:", string.format(
    '{{"requests":%d,"refused":%d,"broken":%d,"seconds":%.6f,"p50_us":%.1f,"p99_us":%.1f}}',
    summary.requests, e.status, e.connect + e.read + e.write + e.timeout,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99)), "\\n")
end
"""


class Load(msgspec.Struct, frozen=True):
    """What one burst of load saw: all answers, those that were not 2xx or 3xx, and lost connections."""

    requests: int
    refused: int
    broken: int
    seconds: float
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.refused) / self.seconds


class Request(msgspec.Struct, frozen=True):
    """The one request that is repeated on every connection."""

    url: str
    method: str = "GET"
    body: bytes = b""
    headers: dict[str, str] = {}


def is_installed() -> bool:
    """Whether this machine has wrk."""
    return shutil.which("wrk") is not None


def load(request: Request, *, connections: int, seconds: int) -> Load:
    """Send the request over so many connections, each waiting for its answer, for so long."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_script(request))
        said = processes.run(
            [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{seconds}s",
                "--timeout",
                "20s",
                "-s",
                script,
                request.url,
            ]
        )
    return msgspec.json.decode(said.rpartition("JSON:")[2], type=Load)


def _script(request: Request) -> str:
    headers = "\n".join(
        f"wrk.headers[ {_lua(name)} ] = {_lua(value)}" for name, value in request.headers.items()
    )
    return _SCRIPT.format(
        method=_lua(request.method), body=_lua(request.body.decode()), headers=headers
    )


def _lua(text: str) -> str:
    # A long bracket takes any text as it stands; four equals signs do not occur in our requests.
    return f"[====[{text}]====]"
