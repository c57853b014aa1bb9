"""The other servers of a shared database: who is there, and telling them what happened here.

What happened is told after it was committed, gathered for at least ten milliseconds, and only when
somebody else is there: a server alone, or with a database of its own, tells nothing. Hearing is
`engine.hearing`. Losing news costs time and nothing else, since everybody looks at the database by
himself too: every few seconds while it listens, every second while it is cut off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.news import (
    Gathered,
    LoggedLines,
    News,
    Progress,
    Topic,
    decode_news,
    encode_news,
)
from runyard.model.errors import NameTaken
from runyard.model.ids import CompanyId, GateId, RunId
from runyard.model.servers import Server
from runyard.stores.contract.peering import LARGEST_NEWS
from runyard.stores.contract.store import Store
from runyard.telemetry import PEERS_REACHED, emit

LOOK_LISTENING = timedelta(seconds=5)
LOOK_DEAF = timedelta(seconds=1)
BEFORE_ASKING_AGAIN = timedelta(milliseconds=500)
TRIES_FOR_A_NAME = 20
MOST_FOLLOWED = 200
EVERY_COMPANY = CompanyId(0)
"""Stands for all in what is told to be followed: nobody counts beyond `MOST_FOLLOWED`."""
ALONE = "alone"
"""What a server is called whose database is its own, in every life and at every port: whatever it had
given out before was its own.
"""
FORGOTTEN_AFTER = timedelta(days=7)
ERRANDS_KEPT = timedelta(hours=1)


class Peers:
    """What this server tells the others."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._peering = store.peering
        self._clock = clock
        self._incarnation = store.incarnation
        self._gathered = Gathered(store.incarnation)
        self._wakeup = asyncio.Event()
        self._others: dict[int, frozenset[CompanyId]] = {}
        """Servers that are there, by their incarnation, and which companies somebody follows there."""
        self._followed: frozenset[CompanyId] = frozenset()
        self._addresses: dict[str, str] = {}
        """Where servers answer, by name, as last looked."""

    @property
    def look(self) -> timedelta:
        """How often whoever depends on news must look at the database all the same."""
        peering = self._peering
        return LOOK_LISTENING if peering is not None and peering.is_listening else LOOK_DEAF

    @property
    def are_there(self) -> bool:
        """Whether another server shares the database, as far as is known here."""
        return bool(self._others)

    # ------------------------------------------------------------ telling

    def occupied(self, gates: Iterable[GateId]) -> None:
        """Runs wait at these gates, and nobody here has room for them."""
        if self._others:
            self._gathered.occupied(gates)
            self._wakeup.set()

    def ended(self, runs: Iterable[RunId]) -> None:
        """These runs are final."""
        if self._others:
            self._gathered.ended(runs)
            self._wakeup.set()

    def follow(self, company: CompanyId) -> bool:
        """Whether somebody at another server follows this company."""
        return any(
            company in followed or EVERY_COMPANY in followed for followed in self._others.values()
        )

    def changed(self, company: CompanyId, runs: Iterable[RunId]) -> None:
        """These runs have changed."""
        if self.follow(company):
            self._gathered.changed(company, runs)
            self._wakeup.set()

    def logged(self, company: CompanyId, run: RunId, first: int, last: int) -> None:
        """A run logged lines, of these numbers."""
        if self.follow(company):
            self._gathered.logged(LoggedLines(company, run, first, last))
            self._wakeup.set()

    def progressed(self, company: CompanyId, run: RunId, done: float, total: float | None) -> None:
        """A run said how far it is."""
        if self.follow(company):
            self._gathered.progressed(Progress(company, run, done, total))
            self._wakeup.set()

    def follows(self, companies: Iterable[CompanyId]) -> None:
        """These companies are followed here now, and no others."""
        self._followed = frozenset(companies)
        if len(self._followed) > MOST_FOLLOWED:
            self._followed = frozenset({EVERY_COMPANY})
        if self._others:
            self._gathered.follows = tuple(self._followed)
            self._wakeup.set()

    def say(self, topic: Topic) -> None:
        """Something of this kind has changed."""
        if self._others:
            self._say(topic)

    def _say(self, topic: Topic) -> None:
        self._gathered.topics |= topic
        self._wakeup.set()

    # ------------------------------------------------------------ being there

    async def enter(self, server: Server, *, is_name_given: bool) -> str:
        """Take a name among the servers; which. A name that the operator chose is waited for a
        while, since the server of before may just be on its way out; raises NameTaken. Of others there
        is always one more.
        """
        if self._peering is None:
            return ALONE
        for number in range(1, TRIES_FOR_A_NAME + 1):
            name = server.name if is_name_given or number == 1 else f"{server.name}-{number}"
            if await self._peering.enter(_named(server, name)):
                await self.refresh()
                return name
            if is_name_given:
                await self._clock.wait(asyncio.Event(), BEFORE_ASKING_AGAIN)
        raise NameTaken(
            f"another server named {server.name!r} is connected to this database; "
            "give each server a name of its own (server_name)"
        )

    async def leave(self) -> None:
        """Say goodbye."""
        if self._peering is None:
            return
        if self._others:
            self._gathered.topics |= Topic.BYE
            await self._tell()
        await self._peering.leave(self._clock.now())

    async def list(self) -> list[Server]:
        """All servers of this database, by name; none when it is not shared."""
        return [] if self._peering is None else await self._peering.servers()

    async def address_of(self, name: str) -> str | None:
        """Where the server of this name answers; None: it is not connected now."""
        if name not in self._addresses:
            await self.refresh()
        return self._addresses.get(name)

    async def refresh(self) -> None:
        """See who is there."""
        servers = [server for server in await self.list() if server.is_connected]
        self._addresses = {server.name: server.address for server in servers}
        connected = {server.incarnation for server in servers}
        connected.discard(self._incarnation)
        self._others = {
            incarnation: self._others.get(incarnation, frozenset()) for incarnation in connected
        }

    @asynccontextmanager
    async def alone(self, duty: str) -> AsyncIterator[bool]:
        """Whether this server does a duty that another one is not just doing."""
        if self._peering is None:
            yield True
            return
        is_ours = await self._peering.begin_duty(duty)
        try:
            yield is_ours
        finally:
            if is_ours:
                await self._peering.end_duty(duty)

    async def tidy(self) -> None:
        """Forget servers that have been gone for long, and what they asked before they died."""
        if self._peering is not None:
            await self._peering.forget(self._clock.now() - FORGOTTEN_AFTER)
            await self._peering.forget_errands(self._clock.now() - ERRANDS_KEPT)

    # ------------------------------------------------------------ the connection

    async def run(self, hear: Callable[[News], None], missed: Callable[[], None]) -> None:
        """Tell and listen until cancelled. `missed` is called when news may have been lost."""
        if self._peering is None:
            return

        def heard(text: str) -> None:
            news = decode_news(text)
            if news is None:
                missed()
            elif news.sender != self._incarnation:
                self._meet(news)
                hear(news)

        def begun() -> None:
            emit(PEERS_REACHED, others=len(self._others))
            self._gathered.follows = tuple(self._followed)
            self._say(Topic.HELLO)
            missed()

        async with asyncio.TaskGroup() as group:
            group.create_task(self._peering.attend(heard, begun))
            group.create_task(self._tell_forever())

    def _meet(self, news: News) -> None:
        if news.topics & Topic.BYE:
            self._others.pop(news.sender, None)
            self._addresses.clear()
            return
        before = self._others.get(news.sender)
        follows = before or frozenset() if news.follows is None else frozenset(news.follows)
        self._others[news.sender] = follows
        if news.topics & Topic.HELLO or before is None:
            self._addresses.clear()
            self._gathered.follows = tuple(self._followed)
            # What was not told because nobody was there may have happened after its own first look.
            self._say(Topic.HERE | Topic.ALL)

    async def _tell_forever(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._gathered:
                await self._tell()

    async def _tell(self) -> None:
        assert self._peering is not None
        # What cannot be told is lost: with the next hello everybody looks.
        await self._peering.tell(encode_news(self._gathered.take(LARGEST_NEWS)))


def _named(server: Server, name: str) -> Server:
    return msgspec.structs.replace(server, name=name)
