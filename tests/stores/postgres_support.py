"""What the tests of the PostgreSQL store have in common: rows to begin with, and a bad connection."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import psycopg

from runyard.model.companies import Company
from runyard.model.ids import CompanyId, GateId, RunId, SessionId, TaskId, VersionId, WorkerId
from runyard.model.runs import Outcome
from runyard.model.states import Cause, RunState
from runyard.model.tasks import Declaration, Policies
from runyard.stores.contract.leases import Claim, ClaimedRun, Share
from runyard.stores.contract.runs import Finish, NewRun
from runyard.stores.contract.tasks import Deploy, TaskChange
from runyard.stores.contract.workers import OpenedSession
from runyard.stores.postgres.store import PostgresStore, open_postgres

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACME = CompanyId(1)
TASK = TaskId(10)
GATE = GateId(11)
VERSION = VersionId(12)
SESSION = SessionId(20)
WORKER = WorkerId(21)

_tokens = itertools.count(1_000)


@asynccontextmanager
async def opened(dsn: str, folder: Path) -> AsyncIterator[PostgresStore]:
    store = await open_postgres(dsn, folder)
    try:
        yield store
    finally:
        await store.close()


async def furnish(store: PostgresStore, *, limit: int | None = None) -> None:
    """A company with one task, and a worker's session."""
    company = Company(
        id=ACME,
        uuid=UUID(int=1),
        slug="acme",
        name="Acme",
        time_zone="UTC",
        runnable=True,
        default_priority=50,
        retention=timedelta(days=1),
        queue_cap=1_000_000,
        weight=1,
        created_at=NOON,
    )
    assert await store.companies.create(company)
    assert await store.tasks.deploy(a_deploy(limit=limit))
    await store.workers.open_session(
        OpenedSession(
            id=SESSION,
            worker_id=WORKER,
            server="here",
            lease_expires_at=NOON + timedelta(days=1),
        ),
        NOON,
    )


def a_deploy(*, limit: int | None = None) -> Deploy:
    declaration = Declaration(
        name="Work",
        key="Work",
        path="Bots/Work",
        description="",
        module="work",
        function="work",
        inputs=(),
        outputs=(),
        policies=Policies(concurrency=limit),
        fingerprint="0",
    )
    change = TaskChange(
        id=TASK,
        uuid=UUID(int=2),
        gate_id=GATE,
        expected_version_id=None,
        version_id=VERSION,
        version=1,
        declaration=declaration,
    )
    return Deploy(
        company_id=ACME,
        bundle_name="work",
        bundle_digest="0" * 64,
        bundle_size=1,
        changes=(change,),
        withdrawn=(),
        at=NOON,
    )


def a_new_run(number: int) -> NewRun:
    return NewRun(
        id=RunId(number),
        public_id=os.urandom(16),
        company_id=ACME,
        task_id=TASK,
        version_id=VERSION,
        gate_id=GATE,
        state=RunState.QUEUED,
        priority=50,
        rank=number,
        created_at=NOON,
        queued_at=NOON,
        input=b"{}",
    )


def a_claim(count: int) -> Claim:
    first_token = next(_tokens) * 1_000
    share = Share(company_id=ACME, count=count, gate_ids=(GATE,))
    return Claim(
        session_id=SESSION, worker_id=WORKER, first_token=first_token, shares=(share,), at=NOON
    )


def a_finish(run: ClaimedRun) -> Finish:
    return Finish(
        run_id=run.run_id,
        company_id=ACME,
        token=run.token,
        state=RunState.COMPLETED,
        cause=Cause.RETURNED,
        outcome=Outcome.RETURNED,
        begun_at=NOON,
        finished_at=NOON,
        output=b"null",
    )


async def stored_runs(dsn: str) -> list[int]:
    """The ids of all runs with an input, straight from the tables."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        rows = await connection.execute(
            "SELECT id FROM runs JOIN run_inputs ON run_id = id ORDER BY id"
        )
        return [row[0] for row in await rows.fetchall()]


class BadConnection:
    """Stands between a store and the server, and passes on what it is told to.

    `from_store` and `from_server` are given what passes; what they return goes on, None ends the
    connection.
    """

    def __init__(self, server_dsn: str, folder: Path) -> None:
        known = psycopg.conninfo.conninfo_to_dict(server_dsn)
        self._target = f"{known['host']}/.s.PGSQL.5432"
        self._path = folder / ".s.PGSQL.5432"
        self.dsn = (
            f"postgresql://{known['user']}@/{known['dbname']}?host={quote(str(folder), safe='')}"
        )
        self._serving: set[asyncio.Task[None]] = set()
        self.from_store: Callable[[bytes], bytes | None] = _unchanged
        self.from_server: Callable[[bytes], bytes | None] = _unchanged

    @asynccontextmanager
    async def up(self) -> AsyncIterator["BadConnection"]:
        server = await asyncio.start_unix_server(self._serve, self._path)
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()
            if self._serving:
                await asyncio.wait(self._serving)

    async def _serve(self, store: asyncio.StreamReader, to_store: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        server, to_server = await asyncio.open_unix_connection(self._target)
        await asyncio.gather(
            self._pass(store, to_server, to_store, "from_store"),
            self._pass(server, to_store, to_server, "from_server"),
        )

    async def _pass(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        direction: str,
    ) -> None:
        try:
            while data := await source.read(65_536):
                passed = getattr(self, direction)(data)
                if passed is None:
                    break
                target.write(passed)
                await target.drain()
        except OSError:
            pass
        for writer in (target, back):
            writer.close()


def _unchanged(data: bytes) -> bytes:
    return data
