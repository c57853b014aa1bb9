"""A server in a thread, for tests that wait for commands to end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    """Keeps what arrives and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: list[int] = []
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.has_arrived = threading.Condition()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def wait(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.has_arrived:
            assert self.has_arrived.wait_for(lambda: len(self.arrived) >= count, 30)
        return self.arrived


class Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = self.server
        assert isinstance(receiver, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
        self.end_headers()
        with receiver.has_arrived:
            receiver.arrived.append((dict(self.headers), body))
            receiver.has_arrived.notify_all()

    def do_GET(self) -> None:
        content = f"this is {self.path}".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    with Receiver() as receiver:
        receiver.answers = list(answers)
        serving = threading.Thread(target=receiver.serve_forever)
        serving.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            serving.join()
