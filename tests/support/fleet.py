"""Workers on other machines, as far as one machine can have them: real sockets, folders of their own."""

import asyncio
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from runyard.model.tokens import Role, TokenKind
from runyard.server.app import Server
from runyard.worker.settings import WorkerSettings
from runyard.worker.socket import SocketLine
from runyard.worker.worker import Worker
from tests.support.house import command, environment

PATIENCE = 60.0


async def a_worker_token(server: Server, company: str | None = None, *, joins: bool = True) -> str:
    """The secret of a worker token of a company, or of the installation."""
    owner = None if company is None else await server.engine.companies.load(company)
    created = await server.engine.tokens.create(
        TokenKind.WORKER, owner, role=Role.OPERATOR, joins=joins
    )
    return created.secret


@asynccontextmanager
async def a_remote_worker(
    url: str, token: str, folder: Path, **chosen: object
) -> AsyncIterator[Worker]:
    """A worker in this process that is connected over a socket; it has been let in."""
    settings = replace(
        WorkerSettings(folder=folder, slots=2, name="remote", drain=timedelta(seconds=5)),
        **chosen,  # type: ignore[arg-type]
    )
    worker = Worker(SocketLine([url], token), settings)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.welcomed.wait()
            yield worker
        finally:
            worker.stop()
            async with asyncio.timeout(PATIENCE):
                await working


@dataclass
class WorkerProcess:
    """`runyard worker` in a process of its own."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)
    has_ended: bool = False
    news: threading.Condition = field(default_factory=threading.Condition)

    def until(self, holds: Callable[["WorkerProcess"], bool]) -> None:
        """Returns once this holds of what it has printed."""
        with self.news:
            self.news.wait_for(lambda: self.has_ended or holds(self), PATIENCE)
            assert holds(self), "\n".join(self.printed)

    def until_printed(self, text: str, times: int = 1) -> None:
        """Returns once it has printed so many lines with this text."""
        self.until(lambda found: sum(text in line for line in found.printed) >= times)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)


@contextmanager
def a_worker_process(url: str, token: str, data: Path, *words: str) -> Iterator[WorkerProcess]:
    """A worker of its own process, for the length of the block. It may not be let in yet."""
    process = subprocess.Popen(
        command(("worker", "--server", url, "--data", str(data), *words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment({"RUNYARD_WORKER_TOKEN": token}),
    )
    found = WorkerProcess(process)
    reading = threading.Thread(target=_read, args=(found,))
    reading.start()
    try:
        yield found
    finally:
        process.kill()
        process.wait(PATIENCE)
        reading.join()
        assert process.stdout is not None
        process.stdout.close()


def _read(found: WorkerProcess) -> None:
    assert found.process.stdout is not None
    for line in found.process.stdout:
        with found.news:
            found.printed.append(line.rstrip())
            found.news.notify_all()
    with found.news:
        found.has_ended = True
        found.news.notify_all()
