"""Runs that workers of other servers hold: asking their servers, and knowing when they have acted.

The database is the witness. A gate that was closed is closed for every claim; what other servers had
claimed before stands in the database as held and not begun, and they give it back as soon as they
see the gate closed. So whoever closed it looks until nothing of that kind is left, and needs no
answer. Where a single run is meant (kill, clean, park) there is an errand for the session that holds
it, and its server answers in the errand's row.

A server that does not act is waited for until the leases of its sessions are surely over: its workers
begin nothing then and kill what they execute, and whoever lives rescues their runs.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from runyard.engine.clock import Clock
from runyard.engine.ids import Ids
from runyard.engine.news import Topic
from runyard.engine.peers import Peers
from runyard.engine.sessions import Sessions
from runyard.model.errors import Unconfirmed
from runyard.model.ids import CompanyId, GateId, RunId, SessionId
from runyard.stores.contract.leases import LeasedRun
from runyard.stores.contract.peering import Answer, Errand, Holding, Peering, Verb
from runyard.stores.contract.store import Store

MARGIN = timedelta(seconds=2)
"""How long after a lease has ended it is surely over, whatever the clocks of two servers say."""
BEFORE_LOOKING_AGAIN = timedelta(milliseconds=500)
MOST_LEASES = 3
"""How many times its lease a server may go on living without acting."""


class Elsewhere:
    """What other servers hold."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, sessions: Sessions, peers: Peers
    ) -> None:
        self._peering = store.peering
        self._clock = clock
        self._ids = ids
        self._sessions = sessions
        self._peers = peers
        self._waiting: list[asyncio.Event] = []

    def hear(self) -> None:
        """Another server has answered, or given something back."""
        for waiting in self._waiting:
            waiting.set()

    # ------------------------------------------------------------ gates that are closed

    async def given_back(self, gates: Sequence[GateId]) -> None:
        """Return once no other server has a run of these gates that it might still begin. They are
        closed already. Raises Unconfirmed.
        """
        if self._peering is None:
            return
        seen: dict[tuple[RunId, int], Holding] = {}
        deadline = self._clock.monotonic() + self._sessions.lease * MOST_LEASES
        with self._listening() as wakeup:
            while True:
                found = await self._peering.unbegun(gates, self._ours())
                held = {(h.run_id, h.token): h for h in found if h.lease_expires_at is not None}
                vanished = [holding for key, holding in seen.items() if key not in held]
                for holding in await self._explained(self._peering, vanished):
                    del seen[holding.run_id, holding.token]
                seen.update(held)
                if not seen:
                    return
                if self._clock.monotonic() > deadline:
                    raise Unconfirmed(_told(list(seen.values())))
                self._peers.say(Topic.DIRECTORY)
                await self._clock.wait(wakeup, BEFORE_LOOKING_AGAIN)

    async def _explained(self, peering: Peering, vanished: Sequence[Holding]) -> list[Holding]:
        """Those that their own server has begun or given back, or that surely nobody begins: of
        what was rescued when a lease ended, its server may only learn a moment later.
        """
        if not vanished:
            return []
        leases = await peering.leases([holding.session_id for holding in vanished])
        now = self._clock.now()
        return [h for h in vanished if not _is_in_doubt(leases.get(h.session_id), now)]

    # ------------------------------------------------------------ single runs

    async def kill(
        self, runs: Sequence[LeasedRun], *, only_begun: bool = False
    ) -> dict[RunId, Answer]:
        """Have these runs killed by the servers that hold them; what became of each that another
        server holds.
        """
        held = await self._held_elsewhere(runs)
        return await self._ask(Verb.KILL_BEGUN if only_begun else Verb.KILL, held)

    async def park(self, run: LeasedRun) -> bool:
        """Have a run put aside before it begins; whether its server has done so."""
        answers = await self._ask(Verb.PARK, await self._held_elsewhere([run]))
        return answers.get(run.run_id) is Answer.DONE

    async def drop(self, gate: GateId, created_before: datetime) -> dict[RunId, Answer]:
        """Have the runs of a gate ended that have never begun; what became of each that another server
        holds.
        """
        if self._peering is None:
            return {}
        found = await self._peering.unbegun([gate], self._ours())
        return await self._ask(
            Verb.DROP,
            [
                holding
                for holding in found
                if holding.attempt == 0
                and holding.created_at <= created_before
                and holding.lease_expires_at is not None
            ],
        )

    async def _held_elsewhere(self, runs: Sequence[LeasedRun]) -> list[Holding]:
        if self._peering is None or not runs:
            return []
        tokens = {run.run_id: run.token for run in runs}
        ours = set(self._ours())
        return [
            holding
            for holding in await self._peering.holdings(list(tokens))
            if holding.token == tokens[holding.run_id]
            and holding.session_id not in ours
            and holding.lease_expires_at is not None
        ]

    async def _ask(self, verb: Verb, held: Sequence[Holding]) -> dict[RunId, Answer]:
        peering = self._peering
        if peering is None or not held:
            return {}
        first = await self._ids.take(len(held))
        now = self._clock.now()
        errands = [
            Errand(
                id=first + place,
                session_id=holding.session_id,
                verb=verb,
                company_id=holding.company_id,
                run_id=holding.run_id,
                token=holding.token,
                asked_at=now,
            )
            for place, holding in enumerate(held)
        ]
        await peering.ask(errands)
        try:
            return await self._answers(peering, {errand.id: errand for errand in errands})
        finally:
            await peering.withdraw([errand.id for errand in errands])

    async def _answers(self, peering: Peering, waiting: dict[int, Errand]) -> dict[RunId, Answer]:
        found: dict[RunId, Answer] = {}
        deadline = self._clock.monotonic() + self._sessions.lease * MOST_LEASES
        with self._listening() as wakeup:
            while True:
                self._peers.say(Topic.ERRANDS)
                for answered, answer in (await peering.answers(list(waiting))).items():
                    found[waiting.pop(answered).run_id] = answer
                leases = await peering.leases([errand.session_id for errand in waiting.values()])
                now = self._clock.now()
                is_late = self._clock.monotonic() > deadline
                for errand in list(waiting.values()):
                    if is_late or _is_over(leases.get(errand.session_id), now):
                        found[waiting.pop(errand.id).run_id] = Answer.UNCONFIRMED
                if not waiting:
                    return found
                await self._clock.wait(wakeup, BEFORE_LOOKING_AGAIN)

    # ------------------------------------------------------------ other things

    def now(self) -> datetime:
        """The instant at which something is asked."""
        return self._clock.now()

    async def finding(self, errand: Errand, patience: timedelta) -> bytes | None:
        """What an errand brings back; None when it could not be done, or not in this time."""
        peering = self._peering
        if peering is None:
            return None
        deadline = self._clock.monotonic() + patience
        await peering.ask([errand])
        try:
            with self._listening() as wakeup:
                while True:
                    self._peers.say(Topic.ERRANDS)
                    found = await peering.findings([errand.id])
                    if found or self._clock.monotonic() > deadline:
                        return found.get(errand.id)
                    await self._clock.wait(wakeup, BEFORE_LOOKING_AGAIN)
        finally:
            await peering.withdraw([errand.id])

    async def ask_sessions(
        self,
        verb: Verb,
        company: CompanyId,
        sessions: Sequence[SessionId],
        *,
        body: bytes = b"",
        patience: timedelta,
    ) -> dict[SessionId, bytes | None]:
        """Ask something of the servers of these sessions; what they found. Those whose server has not
        answered in this time are absent, whether it is dead or stands still.
        """
        peering = self._peering
        if peering is None or not sessions:
            return {}
        first = await self._ids.take(len(sessions))
        asked = {first + place: session for place, session in enumerate(sessions)}
        now = self._clock.now()
        await peering.ask(
            [
                Errand(
                    id=errand,
                    session_id=session,
                    verb=verb,
                    company_id=company,
                    run_id=RunId(0),
                    token=0,
                    asked_at=now,
                    body=body,
                )
                for errand, session in asked.items()
            ]
        )
        try:
            return await self._found(peering, asked, patience)
        finally:
            await peering.withdraw(list(asked))

    async def _found(
        self, peering: Peering, asked: Mapping[int, SessionId], patience: timedelta
    ) -> dict[SessionId, bytes | None]:
        waiting = dict(asked)
        found: dict[SessionId, bytes | None] = {}
        deadline = self._clock.monotonic() + patience
        with self._listening() as wakeup:
            while True:
                self._peers.say(Topic.ERRANDS)
                for errand, finding in (await peering.findings(list(waiting))).items():
                    found[waiting.pop(errand)] = finding
                if not waiting or self._clock.monotonic() > deadline:
                    return found
                await self._clock.wait(wakeup, BEFORE_LOOKING_AGAIN)

    # ------------------------------------------------------------ parts

    def _ours(self) -> list[SessionId]:
        return [session.id for session in self._sessions]

    @contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        wakeup = asyncio.Event()
        self._waiting.append(wakeup)
        try:
            yield wakeup
        finally:
            self._waiting.remove(wakeup)


def _is_over(lease_expires_at: datetime | None, now: datetime) -> bool:
    """Whether nothing that was held under this lease is to be expected any more."""
    return lease_expires_at is None or now >= lease_expires_at + MARGIN


def _is_in_doubt(lease_expires_at: datetime | None, now: datetime) -> bool:
    """Whether the lease has ended only just now."""
    return lease_expires_at is not None and lease_expires_at < now < lease_expires_at + MARGIN


def _told(held: Sequence[Holding]) -> str:
    runs = ", ".join(str(holding.run_id) for holding in held[:5])
    return (
        f"nothing new starts, but another server has not yet given back {len(held)} runs "
        f"that it had claimed before ({runs}); ask again"
    )
