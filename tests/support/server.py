"""A real server in this process, on a free port, over either database.

`running_runyard` is what `runyard serve` composes: a server with a worker in it. `running_server` is
the server alone. `HandWorker` is a worker made for tests that are about doors: it finds the tasks it
is told to find in any bundle, and runs begin, log and end when the test says so.
"""

import asyncio
import io
import textwrap
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx

from runyard.cli.joined import open_runyard
from runyard.engine.engine import Engine
from runyard.engine.sessions import AssignedRun, AttemptEnd, HeldRun, Session, WorkerHello
from runyard.model.companies import Company
from runyard.model.errors import CodeRefused
from runyard.model.ids import AllocationId, RunId, VersionId
from runyard.model.logs import LogLevel, LogLine
from runyard.model.runs import Outcome, RunError
from runyard.model.tasks import Declaration, Policies, Version
from runyard.model.tokens import Role, TokenKind
from runyard.model.types import Field, Text
from runyard.server.app import Server, open_server
from runyard.server.settings import Settings, read_settings

API = "/runyard/v1"
A_PLACE = b'{"place":"Fort Worth"}'


def settings_of(folder: Path, database: str | None = None, **given: object) -> Settings:
    """Settings of a server on a free port, whose workers may be silent for as long as a test is."""
    chosen: Mapping[str, object] = {
        "data": folder,
        "database": database,
        "port": 0,
        "slots": 0,
        "lease": timedelta(hours=1),
        "drain": timedelta(seconds=5),
        **given,
    }
    return read_settings(chosen, {})


@asynccontextmanager
async def running_server(
    folder: Path, database: str | None = None, **given: object
) -> AsyncIterator[Server]:
    """A server that answers, without a worker."""
    async with open_server(settings_of(folder, database, **given)) as server:
        yield server


@asynccontextmanager
async def running_runyard(
    folder: Path, database: str | None = None, *, slots: int = 2, **given: object
) -> AsyncIterator[Server]:
    """A server with a real worker in it, as `runyard serve` composes the two; left idle at the end."""
    async with open_runyard(settings_of(folder, database, slots=slots, **given)) as server:
        yield server
        await server.stop()


def a_bundle(files: Mapping[str, str]) -> bytes:
    """A bundle of these files, as it is uploaded."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, textwrap.dedent(text))
    return archive.getvalue()


def administrator_secret(server: Server) -> str:
    """The token that the first start left in the data folder."""
    return (server.settings.data / "admin.token").read_text().strip()


def client_of(server: Server, secret: str, path: str = "") -> httpx.AsyncClient:
    """A client of the native API with this token, at a path of it."""
    return httpx.AsyncClient(
        base_url=f"{server.url}{API}{path}",
        headers={"authorization": f"Bearer {secret}"},
        timeout=httpx.Timeout(30),
        trust_env=False,
        verify=False,
    )


async def a_secret(
    server: Server,
    company: str | None,
    role: Role = Role.ADMINISTRATOR,
    *,
    kind: TokenKind = TokenKind.NATIVE,
    lasting: timedelta | None = None,
) -> str:
    """The secret of a new token."""
    owner = None if company is None else await server.engine.companies.load(company)
    created = await server.engine.tokens.create(kind, owner, role=role, lasting=lasting)
    return created.secret


def a_declaration(
    name: str = "Zip code",
    *,
    inputs: Sequence[Field] = (Field(name="zip", parameter="zip", type=Text()),),
    outputs: Sequence[Field] = (Field(name="place", parameter="place", type=Text()),),
    policies: Policies | None = None,
    fingerprint: str = "1",
) -> Declaration:
    """What a task's code says about itself."""
    return Declaration(
        name=name,
        key=name,
        path=f"Bots/{name}",
        description="Where a US zip code lies.",
        module="tasks",
        function="zip_code",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        policies=policies or Policies(),
        fingerprint=fingerprint,
    )


class HandWorker:
    """A connected worker whose runs do what the test says."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Session | None = None
        self.finds: list[Declaration]
        """What any bundle contains."""
        self.refusal: CodeRefused | None
        """Why any bundle is refused."""
        self.lines: list[str]
        """What an inspection says it does."""
        self.forget()
        self.is_deaf = False
        """Does not answer a kill."""
        self.assigned: dict[RunId, AssignedRun] = {}
        self._arrived = asyncio.Event()

    def forget(self) -> None:
        """Be told nothing yet about bundles."""
        self.finds = [a_declaration()]
        self.refusal = None
        self.lines = []

    async def connect(self, slots: int = 2) -> None:
        """Come online; `slots` 0: only to look into bundles."""
        hello = WorkerHello(
            name="hand", version="1", host="here", os="linux", address="", slots=slots, allowed=True
        )
        self._session = await self._engine.connect(self, hello)
        self._engine.set_capacity(self._session, slots)

    @property
    def session(self) -> Session:
        """Its session."""
        assert self._session is not None
        return self._session

    async def begins(self, run: int) -> None:
        """Its code is reached."""
        assigned = await self._has(run)
        self._engine.begun(
            self.session, RunId(run), assigned.claimed.token, self._engine.clock.now()
        )

    async def logs(self, run: int, *texts: str, first: int = 1, attempt: int = 1) -> None:
        """It logs these lines."""
        assigned = await self._has(run)
        now = self._engine.clock.now()
        lines = tuple(
            LogLine(first + at, now, LogLevel.INFO, text, attempt) for at, text in enumerate(texts)
        )
        self._engine.logged(self.session, RunId(run), assigned.claimed.token, lines, 0)

    async def ends(self, run: int, output: bytes | None = A_PLACE, *, error: str = "") -> None:
        """It returns this output, or raises."""
        assigned = await self._has(run)
        now = self._engine.clock.now()
        end = AttemptEnd(
            run_id=RunId(run),
            token=assigned.claimed.token,
            outcome=Outcome.RAISED if error else Outcome.RETURNED,
            begun_at=now,
            finished_at=now,
            output=None if error else output,
            error=RunError(kind="ValueError", message=error) if error else None,
        )
        del self.assigned[RunId(run)]
        self._engine.ended(self.session, [end])

    async def _has(self, run: int) -> AssignedRun:
        while RunId(run) not in self.assigned:
            self._arrived.clear()
            await self._arrived.wait()
        return self.assigned[RunId(run)]

    # ------------------------------------------------------------ what the engine says to it

    def introduce(self, version: Version, company: Company) -> None:
        """Nothing to prepare."""

    def assign(self, runs: Sequence[AssignedRun]) -> None:
        """Keep them until the test says what they do."""
        self.assigned.update({run.claimed.run_id: run for run in runs})
        self._arrived.set()

    async def recall(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """All that the test did not begin."""
        return self._drop([run for run in runs if run.begun_at is None])

    async def kill(self, runs: Sequence[HeldRun]) -> set[RunId]:
        """They are dead at once."""
        return set() if self.is_deaf else self._drop(runs)

    def _drop(self, runs: Sequence[HeldRun]) -> set[RunId]:
        found = {run.run_id for run in runs}
        for run in found:
            self.assigned.pop(run, None)
        return found

    async def inspect(
        self, company: Company, bundle_digest: str, on_line: Callable[[str], None]
    ) -> tuple[Declaration, ...]:
        """What it was told to find."""
        for line in self.lines:
            on_line(line)
        if self.refusal is not None:
            raise self.refusal
        return tuple(self.finds)

    def warm(
        self, allocation: AllocationId, version: VersionId, children: int, deadline: timedelta
    ) -> None:
        pass

    def call(self, allocation: AllocationId, run: RunId, public_id: str, value: bytes) -> None:
        pass

    def drain(self) -> None:
        """Nothing more will come."""

    def close(self, detail: str) -> None:
        """The server ends the conversation."""

    def recorded(self, runs: Sequence[tuple[RunId, int]]) -> None:
        """What it reported is on disk."""

    def refuse(self, code: str, detail: str) -> None:
        """It may not execute any more."""
