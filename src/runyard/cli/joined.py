"""Server and worker in one process: the only place where the two halves meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from runyard.server.app import Server, open_server
from runyard.server.settings import Settings
from runyard.surroundings import tool_variables
from runyard.worker.settings import WorkerSettings
from runyard.worker.transport import Within
from runyard.worker.worker import Worker

WORKER_FOLDER = "worker"
NAME = "local"
LAST_MOMENT = timedelta(seconds=1)
"""How long the worker waits for running runs once the server has waited for them."""
BEFORE_REJOINING = timedelta(seconds=1)


@asynccontextmanager
async def open_runyard(settings: Settings) -> AsyncIterator[Server]:
    """A server that answers, with a worker in it unless the settings give it no slots."""
    async with open_server(settings) as server:
        if not settings.slots:
            yield server
            return
        async with asyncio.TaskGroup() as group:
            within = WorkerWithin(server, worker_settings(server))
            working = group.create_task(within.run())
            try:
                await _welcomed(within.worker, working)
                yield server
            finally:
                within.stop()


class WorkerWithin:
    """The worker inside a server. When its conversation breaks off another one takes its place:
    nobody else would execute what is queued.
    """

    def __init__(self, server: Server, settings: WorkerSettings) -> None:
        self._server = server
        self._settings = settings
        self._is_stopping = False
        self.worker = self._another()

    async def run(self) -> None:
        """Be a worker until it is stopped or the server drains; raises what makes it impossible."""
        while True:
            await self.worker.run()
            engine = self._server.engine
            if self._is_stopping or engine.is_draining:
                return
            await engine.clock.wait(asyncio.Event(), BEFORE_REJOINING)
            self.worker = self._another()
            if self._is_stopping:
                self.worker.stop()

    def stop(self) -> None:
        """Leave. `run` returns."""
        self._is_stopping = True
        self.worker.stop()

    def _another(self) -> Worker:
        return Worker(Within(self._server.gateway.join()), self._settings)


def worker_settings(server: Server) -> WorkerSettings:
    """How the worker inside the server executes. Of several servers each has one."""
    settings = server.settings
    return WorkerSettings(
        name=NAME if settings.database is None else server.engine.name,
        folder=settings.data / WORKER_FOLDER,
        slots=settings.slots,
        drain=LAST_MOMENT,
        source_builds=settings.source_builds,
        variables=tool_variables(),
    )


async def _welcomed(worker: Worker, working: asyncio.Task[None]) -> None:
    """Returns once the worker has been let in; raises when it never will be."""
    welcomed = asyncio.ensure_future(worker.welcomed.wait())
    try:
        await asyncio.wait((welcomed, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        welcomed.cancel()
