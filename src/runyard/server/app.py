"""A server, put together: store, engine, doors, socket.

`open_server` yields a server that answers. Whoever opened it may connect a worker to its engine,
waits for the moment to stop, and calls `stop`: from then on nothing new is taken, streams end,
workers finish what has begun; leaving the block closes the rest in the order opposite to opening.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from runyard.console.assets import PREFIX as ASSETS
from runyard.console.assets import ROUTES as ASSET_ROUTES
from runyard.console.door import console_door, front_door
from runyard.console.reference import reference_doors
from runyard.dialects.automation_anywhere.routes import REFERENCE as API_TASK_REFERENCE
from runyard.dialects.automation_anywhere.routes import automation_anywhere_doors
from runyard.dialects.elma import routes as elma
from runyard.dialects.elma.options import Options as ElmaOptions
from runyard.dialects.integray import routes as integray
from runyard.dialects.integray.dialect import Options
from runyard.dialects.native.routes import PREFIX as NATIVE
from runyard.dialects.native.routes import REFERENCE as NATIVE_REFERENCE
from runyard.dialects.native.routes import native_door
from runyard.engine.clock import SystemClock
from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.realtime import RealtimeSettings
from runyard.engine.tickets import TicketSettings
from runyard.gateway.door import PATH as WORKERS
from runyard.gateway.door import WorkerDoor
from runyard.gateway.gateway import Gateway
from runyard.model.errors import FieldProblem, InputRefused, RunyardError, SetUpAlready
from runyard.model.tokens import Role, TokenKind
from runyard.outbound.addresses import Allowances
from runyard.outbound.client import OutboundClient
from runyard.server.events import printing
from runyard.server.http import HttpServer, listening_socket
from runyard.server.master_key import MASTER_KEY_FILE, read_master_key
from runyard.server.probes import ROUTES as PROBES
from runyard.server.settings import Settings
from runyard.stores.contract.store import Store
from runyard.stores.transfer import Source, Target
from runyard.surroundings import forbid_inspection, hide_arguments
from runyard.telemetry import SERVER_STARTED, SERVER_STOPPED, emit, sending_events_to
from runyard.web.addresses import CONSOLE, setup_url
from runyard.web.asgi import App
from runyard.web.dispatcher import Dispatcher
from runyard.web.door import Door
from runyard.web.house import House, Limits

REFERENCES = (NATIVE_REFERENCE, API_TASK_REFERENCE, elma.REFERENCE)
"""The APIs that have a reference page, in the order in which people are shown them."""

ADDRESS_FILE = "address"
TOKEN_FILE = "admin.token"

_LOOK = timedelta(milliseconds=50)


class FolderRefused(RunyardError):
    """This cannot be the data folder of a server."""


class Server:
    """A server that answers."""

    def __init__(self, settings: Settings, engine: Engine, gateway: Gateway, house: House) -> None:
        self.settings = settings
        self.engine = engine
        self.gateway = gateway
        """Where workers are let in; the one of this very process too."""
        self.house = house

    @property
    def url(self) -> str:
        """Where it answers; no slash at the end."""
        return self.house.public_url

    async def stop(self) -> bool:
        """Take nothing new, end streams, let running runs finish for as long as the settings allow.

        Whether all of them have.
        """
        self.house.streams.end()
        await self.engine.drain()
        pause = asyncio.Event()
        deadline = self.engine.clock.monotonic() + self.settings.drain
        while self.engine.clock.monotonic() < deadline:
            if not (await self.engine.statistics()).held_runs:
                await self.engine.attempts.settled()
                return True
            await self.engine.clock.wait(pause, _LOOK)
        return False

    async def first_setup_url(self) -> str | None:
        """A new link that makes the first administrator; None once there is one."""
        try:
            link = await self.engine.users.first_setup_link()
        except SetUpAlready:
            return None
        return setup_url(self.url, link.secret)

    async def failed(self) -> None:
        """Return only when the server can go on no longer, by raising why."""
        await self.engine.failed()


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """A server with these settings, answering; closed at the end of the block."""
    if settings.database is not None and urlsplit(settings.database).password:
        hide_arguments()
    forbid_inspection()
    remote_api = integray_api(settings)  # before anything is opened: its profile may not fit
    prepare_folder(settings.data)
    async with contextlib.AsyncExitStack() as opened:
        opened.enter_context(sending_events_to(printing(settings.log_format)))
        listening = listening_socket(settings.host, settings.port)
        opened.enter_context(contextlib.closing(listening))
        store = await opened.enter_async_context(open_store(settings))
        local = local_url(settings, listening)
        outbound = await opened.enter_async_context(
            OutboundClient(Allowances.read(settings.allow_outbound))
        )
        engine = await opened.enter_async_context(
            Engine(store, SystemClock(), engine_settings(settings, local), outbound)
        )
        await write_first_token(engine, settings.data)
        house = furnished(engine, settings, settings.public_url or local)
        opened.push_async_callback(house.forwarding.close)
        gateway = await opened.enter_async_context(Gateway(engine))
        app = all_doors(house, gateway, remote_api, task_queue(settings))
        await opened.enter_async_context(answering(app, settings, listening))
        write_private(settings.data / ADDRESS_FILE, local)
        emit(SERVER_STARTED, url=house.public_url, incarnation=store.incarnation)
        try:
            yield Server(settings, engine, gateway, house)
        finally:
            house.streams.end()
    emit(SERVER_STOPPED)


# ---------------------------------------------------------------- parts


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The database that the settings name; only here is one chosen."""
    store: Store
    if settings.database is None:
        from runyard.stores.sqlite.store import open_sqlite

        store = await open_sqlite(settings.data)
    else:
        from runyard.stores.postgres.store import open_postgres

        store = await open_postgres(settings.database, settings.data)
    try:
        yield store
    finally:
        await store.close()


def read_store(settings: Settings, scratch: Path) -> AbstractContextManager[Source]:
    """The store that the settings name as it is at this instant, servers or not.

    `scratch`: a folder with room for a copy of an SQLite database.
    """
    if settings.database is None:
        from runyard.stores.sqlite.transfer import copied_sqlite

        return copied_sqlite(settings.data, scratch)
    from runyard.stores.postgres.transfer import postgres_now

    return postgres_now(settings.database, settings.data)


def read_stopped_store(settings: Settings) -> AbstractContextManager[Source]:
    """The store that the settings name, which no server uses, and none can meanwhile."""
    if settings.database is None:
        from runyard.stores.sqlite.transfer import stopped_sqlite

        return stopped_sqlite(settings.data)
    from runyard.stores.postgres.transfer import stopped_postgres

    return stopped_postgres(settings.database, settings.data)


def build_store(settings: Settings, *, keeps: Path | None = None) -> AbstractContextManager[Target]:
    """A store to be built in the empty place that the settings name.

    `keeps`: a data folder whose files and blobs stay where they are.
    """
    if settings.database is None:
        from runyard.stores.sqlite.transfer import built_sqlite

        is_kept = keeps is not None and settings.data.resolve() == keeps.resolve()
        return built_sqlite(settings.data, beside=is_kept)
    from runyard.stores.postgres.transfer import built_postgres

    return built_postgres(settings.database, settings.data)


def known_schemas() -> dict[str, int]:
    """How many migrations this release knows, for each sequence of them."""
    from runyard.stores.postgres import transfer as postgres
    from runyard.stores.sqlite import transfer as sqlite

    return {**sqlite.known_schemas(), **postgres.known_schemas()}


def engine_settings(settings: Settings, local: str) -> EngineSettings:
    """What the engine needs to know of the settings, and of the address that the server has got."""
    return EngineSettings(
        server=settings.server_name or f"{socket.gethostname()}:{urlsplit(local).port}",
        is_name_given=bool(settings.server_name),
        address=settings.peer_url or local,
        lease=settings.lease,
        ageing=settings.ageing,
        file_limit=settings.file_limit,
        master_key=read_master_key(settings.master_key or settings.data / MASTER_KEY_FILE),
        login_idle=settings.login_idle,
        login_lasting=settings.login_lasting,
        tickets=TicketSettings(
            ticket_life=settings.automation_session_lasting,
            call_life=settings.automation_execution_lasting,
            most_tickets=settings.automation_sessions,
        ),
        realtime=RealtimeSettings(
            places=settings.realtime_pool,
            most_allocations=settings.realtime_allocations,
            monthly_limit=settings.realtime_monthly_limit,
        ),
    )


def furnished(engine: Engine, settings: Settings, public_url: str) -> House:
    """What the doors share."""
    return House(
        engine=engine,
        public_url=public_url,
        life=engine.clock.new_uuid().hex[:12],
        limits=Limits(
            body=settings.body_limit,
            starts=settings.starts_limit,
            bundle=settings.bundle_limit,
            file=settings.file_limit,
        ),
    )


def integray_api(settings: Settings) -> integray.RemoteApi:
    """The Integray dialect as the operator wants it; raises InputRefused for an unfit profile."""
    options = Options(
        kill_status=settings.integray_kill_status,  # type: ignore[arg-type]
        clean_mode=settings.integray_clean_mode,  # type: ignore[arg-type]
        not_runnable=settings.integray_not_runnable,  # type: ignore[arg-type]
        profile=integray.profile_from(settings.integray_profile),
    )
    found = integray.RemoteApi(options)
    if found.prefix in {NATIVE, WORKERS, ASSETS, CONSOLE}:
        allowed = "an address at which nothing else answers"
        raise InputRefused(
            [FieldProblem(field="integray_profile: base", seen=found.prefix, allowed=allowed)]
        )
    return found


def task_queue(settings: Settings) -> elma.TaskQueue:
    """The ELMA RPA dialect as the operator wants it."""
    return elma.TaskQueue(
        ElmaOptions(
            mirrors_status=settings.elma_mirror_status,
            refuses_with_200=settings.elma_refuse_with_200,
            shares_reads=settings.elma_shared_reads,
        )
    )


def all_doors(
    house: House, gateway: Gateway, remote_api: integray.RemoteApi, queue: elma.TaskQueue
) -> App:
    """Every door at its address."""
    doors: dict[str, App] = {
        NATIVE: native_door(house),
        WORKERS: WorkerDoor(house.engine, gateway),
        ASSETS: Door(house, ASSETS, ASSET_ROUTES),
        CONSOLE: console_door(house),
        "/": front_door(house),
        **automation_anywhere_doors(house),
        **queue.doors(house),
        **reference_doors(house, (*REFERENCES, remote_api.reference)),
    }
    doors[remote_api.prefix] = remote_api.door(house)
    return Dispatcher(doors, elsewhere=Door(house, "", PROBES))


@asynccontextmanager
async def answering(app: App, settings: Settings, listening: socket.socket) -> AsyncIterator[None]:
    """HTTP is answered while the block lasts; requests under way are finished at its end."""
    http = HttpServer(app, settings)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(sockets=[listening]))
        started = group.create_task(http.has_started.wait())
        await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
        finally:
            http.should_exit = True
            # Also when the block failed: a socket that is closed while the loop still listens on
            # it would leave the loop deaf to whatever gets its number next.
            await asyncio.wait([serving])


# ---------------------------------------------------------------- the data folder


def prepare_folder(folder: Path) -> None:
    """Make the data folder, readable by its owner alone; raises FolderRefused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderRefused(f"{folder} cannot be the data folder: {error.strerror}") from error
    if not any(folder.iterdir()):  # made now, or for us: what others keep in theirs stays open
        folder.chmod(0o700)


async def write_first_token(engine: Engine, folder: Path) -> None:
    """At the first start: make an administrator's token and leave it in the data folder."""
    path = folder / TOKEN_FILE
    if path.exists() or await engine.tokens.list(None):
        return
    created = await engine.tokens.create(
        TokenKind.NATIVE, None, role=Role.ADMINISTRATOR, name="first administrator"
    )
    write_private(path, created.secret)


def write_private(path: Path, text: str) -> None:
    """Write a line that only its owner may read; nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def local_url(settings: Settings, listening: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "127.0.0.1"
    return f"{settings.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
