"""Another system for the demo to deal with: it serves a file, and is told when a run has ended."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server

HOST = "127.0.0.1"
PATIENCE = 30.0

Told = tuple[Mapping[str, str], bytes]
"""Headers by lower-case name, and the body."""
_WEBHOOK = ("webhook-id", "webhook-timestamp", "webhook-signature")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *words: object) -> None:
        """Say nothing: the demo shows what arrives."""


class Outside:
    """A web server of another system, on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: Told | None = None
        self._has_been_told = threading.Event()
        self._server = make_server(HOST, 0, self._answer, handler_class=_Quiet)
        self._serving = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.allowance}"

    @property
    def allowance(self) -> str:
        """What an operator writes to let a server visit it although it is on the same machine."""
        return f"{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    def forget(self) -> None:
        """What has been told is of no interest any more."""
        self._told = None
        self._has_been_told.clear()

    def wait(self) -> Told | None:
        """The callback, once it has come; None when it does not."""
        self._has_been_told.wait(PATIENCE)
        return self._told

    def _answer(self, environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            body: IO[bytes] = environ["wsgi.input"]
            content = body.read(int(environ["CONTENT_LENGTH"]))
            found = {name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in _WEBHOOK}
            self._told = (found, content)
            self._has_been_told.set()
            start("204 No Content", [])
            return []
        path = self._folder / Path(environ["PATH_INFO"]).name
        if not path.is_file():
            start("404 Not Found", [("Content-Length", "0")])
            return []
        data = path.read_bytes()
        start("200 OK", [("Content-Type", "text/csv"), ("Content-Length", str(len(data)))])
        return [data]


def is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a callback was signed with this secret; a library for Standard Webhooks does the same."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    signatures = (part.partition(",")[2] for part in headers["webhook-signature"].split(" "))
    return any(hmac.compare_digest(expected, signature) for signature in signatures)
