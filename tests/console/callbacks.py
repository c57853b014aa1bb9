"""Callbacks for tests of the console: runs that have ended, and what became of telling so."""

import asyncio
from collections.abc import AsyncIterator

from runyard.engine.callbacks import NATIVE, CallbackRequest
from runyard.engine.starts import StartRequest
from runyard.model.callbacks import Callback, CallbackState
from runyard.model.companies import Company
from runyard.model.ids import ActorId
from runyard.server.app import Server
from tests.support.server import HandWorker

NOWHERE = "http://localhost:9/hook?key=secret"
"""A name that may be given, and an address that is never visited: what is sent there is given up."""


async def a_waiting_callback(
    server: Server, company: Company, url: str, dialect: str = NATIVE, by: ActorId | None = None
) -> Callback:
    """A callback of a new run, which has not ended."""
    engine = server.engine
    if not await engine.tasks.list(company):
        await _deploy(server, company)
    request = StartRequest(
        task="Zip code",
        input=b'{"zip": "76131"}',
        callbacks=(CallbackRequest(url=url, dialect=dialect),),
        by=by,
    )
    started = await engine.starts.start(company, [request])
    run = await engine.runs.load(company, str(started.runs[0].id))
    [callback] = await engine.callbacks.of_run(company, run)
    return callback


async def a_dead_callback(
    server: Server, company: Company, dialect: str = NATIVE, by: ActorId | None = None
) -> Callback:
    """A callback that was given up: nobody may visit its address."""
    engine = server.engine
    callback = await a_waiting_callback(server, company, NOWHERE, dialect, by)
    await engine.runs.cancel(company, str(callback.run_id))
    async with asyncio.timeout(30):
        while callback.state is not CallbackState.DEAD:
            await asyncio.sleep(0.01)  # noqa: TID251 - the courier is on its way
            callback = await engine.callbacks.load(company, str(callback.id))
    return callback


async def _deploy(server: Server, company: Company) -> None:
    """A task for the company."""
    inspector = HandWorker(server.engine)
    await inspector.connect(slots=0)
    await server.engine.deploys.deploy(company, "examples", _no_bytes())
    await server.engine.disconnect(inspector.session, "has inspected")


async def _no_bytes() -> AsyncIterator[bytes]:
    yield b"bundle"
