"""Which run starts next, and where.

The dispatcher keeps in memory which gates have queued runs behind them ("occupied") and claims for
every session with room, one turn at a time. A turn ends when its claims have committed; whatever
happens meanwhile is taken up by the next turn, together with the outcomes and starts of that time,
in one transaction.

Fairness has two levels. Between companies the one with the smallest virtual time goes first; each
claim adds 1/weight, and a company that wakes up starts at the smallest virtual time of those that
are awake, so that having slept earns nothing. Inside a company the store takes the smallest
(rank + gate offset, id); ranks are fixed when a run is queued.

A gate from which a claim brought less than was asked for is dry: it is empty, at its limit or
closed. It stays out of the way until something happens at it (a start, an end, a change); the safety
net looks at the database itself now and then. Where several servers share a database, the others are told
of gates at which something waits that no worker here has room for.

Being paused reaches further than the claim: runs that were claimed just before the gate closed are
not assigned but handed back, because openness is looked at again in the very turn of the loop in
which they would leave for their worker.
"""

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runyard.engine.clock import Clock
from runyard.engine.directory import Directory
from runyard.engine.patience import until_done
from runyard.engine.peers import Peers
from runyard.engine.sessions import AssignedRun, HeldRun, Session, Sessions
from runyard.engine.transitions import sources, target
from runyard.model.companies import Company
from runyard.model.errors import Overloaded, RunyardError
from runyard.model.ids import CompanyId, GateId, VersionId
from runyard.model.states import Cause
from runyard.model.tasks import Version
from runyard.stores.contract.leases import Claim, ClaimedRun, LeasedRun, Share
from runyard.stores.contract.runs import Move
from runyard.stores.contract.store import Store
from runyard.telemetry import DISPATCH_DELAYED, emit

TOKEN_BITS = 32
AFTER_FAILURE = timedelta(milliseconds=200)
MOST_HELD = 100_000
"""More runs than any session holds."""


class Dispatcher:
    """Claims queued runs for sessions with room."""

    def __init__(
        self, store: Store, clock: Clock, directory: Directory, sessions: Sessions, peers: Peers
    ) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._sessions = sessions
        self._peers = peers
        self._occupied: dict[CompanyId, dict[GateId, int]] = {}
        """Gates with queued runs, with the number of the last notice about each."""
        self._notices = 0
        self._virtual: dict[CompanyId, float] = {}
        self._weights: dict[CompanyId, int] = {}
        self._next_token = (store.incarnation << TOKEN_BITS) + 1
        self._wakeup = asyncio.Event()
        self._barriers: list[asyncio.Event] = []
        self._in_transit: set[asyncio.Event] = set()
        """Runs on their way back into the queue."""
        self._is_turning = False
        self._unanswered = 0
        """Claims under way whose answer is not known yet."""
        self._untold: set[GateId] = set()
        """Gates at which something happened that other servers may have to be told of."""

    def notice(self, gate: GateId, company: CompanyId) -> None:
        """Something happened at this gate: runs behind it may be able to start."""
        self.expect(gate, company)
        if self._peers.are_there:
            self._untold.add(gate)

    def hear(self, gates: Iterable[GateId]) -> None:
        """Another server has no room for what waits at these gates."""
        for gate_id in gates:
            if (gate := self._directory.gates.get(gate_id)) is not None:
                self.expect(gate_id, gate.company_id)

    def expect(self, gate: GateId, company: CompanyId) -> None:
        """Something is about to happen at this gate: a claim may share its group."""
        self._notices += 1
        gates = self._occupied.get(company)
        if gates is None:
            gates = self._occupied[company] = {}
            self._waken(company)
        gates[gate] = self._notices
        self._wakeup.set()

    def notice_again(self, gate: GateId, company: CompanyId) -> None:
        """What was noticed before it was written is on disk now. A claim that came too early for it
        has left the gate for dry, or will do so when it is answered; then runs behind it are noticed
        once more.
        """
        if self._peers.are_there:
            self._untold.add(gate)
            self._wakeup.set()
        if self._unanswered or gate not in self._occupied.get(company, ()):
            self.notice(gate, company)

    def notice_room(self) -> None:
        """A session has room, or a gate opened."""
        self._wakeup.set()

    def set_weight(self, company: CompanyId, weight: int) -> None:
        """The company's share relative to others."""
        self._weights[company] = weight

    async def notice_occupied(self) -> None:
        """Look at the database for gates that have queued runs (the safety net)."""
        for gate_id in await self._store.queues.occupied_gates():
            gate = self._directory.gates.get(gate_id)
            if gate is None:
                await self._directory.refresh_gate(gate_id)
                gate = self._directory.gates.get(gate_id)
            if gate is not None:
                self.notice(gate_id, gate.company_id)

    async def barrier(self) -> None:
        """Return once every claim that was under way has reached its session, and every run that was
        on its way back is in the queue again.
        """
        if self._is_turning:
            turn_over = asyncio.Event()
            self._barriers.append(turn_over)
            await turn_over.wait()
        for arrived in tuple(self._in_transit):
            await arrived.wait()

    def set_out(self) -> asyncio.Event:
        """Runs leave their session now, and `hand_back` will be told so: until then they are found
        nowhere, and whoever looks for all of them waits at the barrier.
        """
        arrived = asyncio.Event()
        self._in_transit.add(arrived)
        return arrived

    async def run(self) -> None:
        """Dispatch until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                await self._turn()
            except RunyardError as problem:  # the database is away or full: try again shortly
                emit(DISPATCH_DELAYED, detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()
            except Exception as error:  # noqa: BLE001 - whatever one claim meets, others go on
                emit(DISPATCH_DELAYED, detail=f"{type(error).__name__}: {error}")
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
                self._wakeup.set()

    async def _turn(self) -> None:
        claims = self._claims()
        if claims:
            await self._claim_in_turn(claims)
        if self._untold:
            self._tell_others()

    def _tell_others(self) -> None:
        """Of gates where something waits for which nobody here has room. Those for which somebody has
        are seen to by the next turn.
        """
        places = [session for session in self._sessions if session.room > 0]
        untold, self._untold = self._untold, set()
        for gate_id in untold:
            gate = self._directory.gates.get(gate_id)
            if gate is None or gate_id not in self._occupied.get(gate.company_id, ()):
                continue
            if any(s.serves(gate.company_id) and s.has_labels(gate.labels) for s in places):
                self._untold.add(gate_id)
            elif gate.is_open:
                self._peers.occupied((gate_id,))

    async def _claim_in_turn(self, claims: Sequence[tuple[Session, tuple[Share, ...]]]) -> None:
        self._is_turning = True
        try:
            if len(claims) == 1:
                await self._claim(*claims[0])
            else:
                await self._claim_all(claims)
        finally:
            self._is_turning = False
            for turn_over in self._barriers:
                turn_over.set()
            self._barriers.clear()

    async def _claim_all(self, claims: Sequence[tuple[Session, tuple[Share, ...]]]) -> None:
        """Every claim is brought to its end, even if another one fails."""
        ends = await asyncio.gather(
            *(self._claim(*claim) for claim in claims), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    def _claims(self) -> list[tuple[Session, tuple[Share, ...]]]:
        claims = []
        for session in self._sessions:
            room = session.room
            if room > 0 and (shares := self._shares(session, room)):
                claims.append((session, shares))
        return claims

    def _shares(self, session: Session, room: int) -> tuple[Share, ...]:
        """How this session's room is divided between companies that have something for it."""
        gates: dict[CompanyId, tuple[GateId, ...]] = {}
        for company, occupied in self._occupied.items():
            if session.serves(company) and (fitting := self._fitting(session, occupied)):
                gates[company] = fitting
        if not gates:
            return ()
        if len(gates) == 1:
            (company,) = gates
            counts = {company: room}
        else:
            counts = self._divide(gates, room)
        return tuple(
            Share(company_id=company, count=count, gate_ids=gates[company])
            for company, count in counts.items()
        )

    def _fitting(self, session: Session, occupied: Iterable[GateId]) -> tuple[GateId, ...]:
        known = self._directory.gates
        return tuple(
            gate_id
            for gate_id in occupied
            if (gate := known.get(gate_id)) is not None
            and gate.is_open
            and (not gate.labels or session.has_labels(gate.labels))
        )

    def _divide(self, companies: Iterable[CompanyId], room: int) -> dict[CompanyId, int]:
        heap = [(self._virtual.get(company, 0.0), company) for company in companies]
        heapq.heapify(heap)
        counts: dict[CompanyId, int] = {}
        for _ in range(room):
            virtual, company = heap[0]
            counts[company] = counts.get(company, 0) + 1
            heapq.heapreplace(heap, (virtual + 1 / self._weights.get(company, 1), company))
        return counts

    async def _claim(self, session: Session, shares: tuple[Share, ...]) -> None:
        wanted = sum(share.count for share in shares)
        noticed = self._notices
        session.claiming += wanted
        self._unanswered += 1
        try:
            if self._sessions.is_stale(session):
                await self._sessions.renew([session])
            claimed = await self._claimed(self._next_claim(session, shares, wanted), wanted)
        finally:
            self._unanswered -= 1
            session.claiming -= wanted
        self._account(shares, claimed, noticed)
        if claimed:
            await self._assign(session, claimed)

    async def _claimed(self, claim: Claim, wanted: int) -> list[ClaimedRun]:
        """What the claim has taken, all of which its session is told of, or nothing at all."""
        try:
            return await self._store.leases.claim(claim)
        except Overloaded:  # it was never tried
            raise
        except Exception:
            await self._undo(claim, wanted)
            raise

    async def _undo(self, claim: Claim, wanted: int) -> None:
        """Put back what a claim has taken whose answer got lost: it has a live session's lease, but
        that session knows nothing of it.
        """
        leased = await until_done(
            self._clock,
            "look after a claim",
            lambda: self._store.leases.held_by([claim.session_id], MOST_HELD),
        )
        end_token = claim.first_token + wanted
        if lost := [run for run in leased if claim.first_token <= run.token < end_token]:
            await self.hand_back(lost)

    def _next_claim(self, session: Session, shares: tuple[Share, ...], wanted: int) -> Claim:
        first = self._next_token
        self._next_token += wanted
        return Claim(
            session_id=session.id,
            worker_id=session.worker.id,
            first_token=first,
            shares=shares,
            at=self._clock.now(),
        )

    def _account(
        self, shares: Sequence[Share], claimed: Sequence[ClaimedRun], noticed: int
    ) -> None:
        """Charge each company for what it got; gates of a share that was not filled are dry."""
        got: dict[CompanyId, int] = {}
        for run in claimed:
            got[run.company_id] = got.get(run.company_id, 0) + 1
        for share in shares:
            company, count = share.company_id, got.get(share.company_id, 0)
            weight = self._weights.get(company, 1)
            self._virtual[company] = self._virtual.get(company, 0.0) + count / weight
            if count < share.count:
                self._dry(company, share.gate_ids, noticed)
            else:
                self._wakeup.set()

    def _dry(self, company: CompanyId, gates: Iterable[GateId], noticed: int) -> None:
        occupied = self._occupied.get(company)
        if occupied is None:
            return
        for gate in gates:
            if occupied.get(gate, noticed + 1) <= noticed:
                del occupied[gate]
        if not occupied:
            del self._occupied[company]

    def _waken(self, company: CompanyId) -> None:
        awake = [self._virtual.get(c, 0.0) for c in self._occupied if c != company]
        if awake:
            self._virtual[company] = max(self._virtual.get(company, 0.0), min(awake))

    async def _assign(self, session: Session, claimed: Sequence[ClaimedRun]) -> None:
        """Hand claimed runs to their session, but for those whose gate has closed meanwhile.

        They are claimed for good: nobody else would ever see to them if this gave up.
        """
        steps, unknown = await until_done(
            self._clock, "assign runs", lambda: self._preparations(session, claimed)
        )
        # From here to the end nothing is awaited: openness cannot change before the runs have left.
        known = self._directory.gates
        leaving = [
            run
            for run in claimed
            if session.is_reachable
            and (gate := known.get(run.gate_id)) is not None
            and gate.is_open
        ]
        for version, company in unknown:
            session.port.introduce(version, company)
            session.introduced.add(version.id)
        if leaving:
            for run in leaving:
                session.held[run.run_id] = held_from(run)
            session.port.assign([AssignedRun(run, steps.get(run.run_id, ())) for run in leaving])
        if len(leaving) < len(claimed):
            gone = {run.run_id for run in leaving}
            await self.hand_back([held_from(r) for r in claimed if r.run_id not in gone])

    async def _preparations(
        self, session: Session, claimed: Sequence[ClaimedRun]
    ) -> tuple[dict[int, tuple[tuple[str, int, bytes], ...]], list[tuple[Version, Company]]]:
        steps = await self._recorded_steps(claimed)
        return steps, await self._unknown_versions(session, claimed)

    async def _recorded_steps(
        self, claimed: Sequence[ClaimedRun]
    ) -> dict[int, tuple[tuple[str, int, bytes], ...]]:
        again = [run.run_id for run in claimed if run.attempt]
        if not again:
            return {}
        found = await self._store.runs.steps(again)
        return {run: tuple(steps) for run, steps in found.items()}

    async def _unknown_versions(
        self, session: Session, claimed: Sequence[ClaimedRun]
    ) -> list[tuple[Version, Company]]:
        unknown: dict[VersionId, CompanyId] = {
            run.version_id: run.company_id
            for run in claimed
            if run.version_id not in session.introduced
        }
        return [
            (await self._directory.version(version), await self._directory.company_by_id(company))
            for version, company in unknown.items()
        ]

    async def hand_back(
        self, runs: Sequence[HeldRun | LeasedRun], arrived: asyncio.Event | None = None
    ) -> None:
        """Put claimed runs that never began back into the queue, at their old places.

        `arrived`: from `set_out`, when they have left their session before.
        """
        arrived = arrived or self.set_out()
        try:
            moves = [back_in_queue(held, self._clock.now()) for held in runs]
            if moves:
                await until_done(
                    self._clock, "hand runs back", lambda: self._store.runs.move(moves)
                )
        finally:
            self._in_transit.discard(arrived)
            arrived.set()
        for held in runs:
            self.notice(held.gate_id, held.company_id)


def back_in_queue(run: HeldRun | LeasedRun, at: datetime) -> Move:
    """What puts a claimed run that never began back into the queue, at its old place."""
    return Move(
        run_id=run.run_id,
        company_id=run.company_id,
        sources=sources(Cause.RECALLED),
        state=target(Cause.RECALLED),
        at=at,
        token=run.token,
        unbegun_attempt_only=True,
    )


def held_from(run: ClaimedRun) -> HeldRun:
    """What the session remembers of a claimed run."""
    return HeldRun(
        run_id=run.run_id,
        public_id=run.public_id,
        company_id=run.company_id,
        task_id=run.task_id,
        version_id=run.version_id,
        gate_id=run.gate_id,
        token=run.token,
        attempt=run.attempt,
        rank=run.rank,
    )
