"""A server that answers what a test tells it to, over real HTTP."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


@dataclass(frozen=True)
class Reply:
    """One answer. `cut` ends the connection after the body instead of ending the body."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True)
class Asked:
    """One request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """Gives its replies in order; the last one again and again."""

    url: str
    replies: list[Reply]
    asked: list[Asked] = field(default_factory=list)

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def problem(status: int, code: str, detail: str, **headers: str) -> Reply:
    """An error as Runyard writes it."""
    body = msgspec.json.encode({"code": code, "detail": detail, "status": status, "title": "T"})
    return Reply(status, body, {"content-type": "application/problem+json", **headers})


def events(*pieces: str, cut: bool = False) -> Reply:
    """A stream of server-sent events."""
    return Reply(200, "".join(pieces).encode(), {"content-type": "text/event-stream"}, cut)


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[ScriptedServer]:
    """A server for the length of a test."""
    script: ScriptedServer

    class Exchange(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            script.asked.append(Asked(self.command, self.path, headers, body))
            reply = script.next_reply()
            self.send_response(reply.status)
            missing = 1 if reply.cut else 0
            self.send_header("content-length", str(len(reply.body) + missing))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.cut

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Exchange) as http:
        script = ScriptedServer(f"http://127.0.0.1:{http.server_port}", list(replies))
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            http.shutdown()
            thread.join()
