"""Calls that other servers execute: closing the way to them, and ending them.

Which server executes the calls of a task stands in the database, in the row that says where its
allocation is kept. Whoever closes a gate asks the servers that stand there to look at it, after the
closing was committed, and waits until they have. What is placed later is placed by a server that
looks at the gates after it has placed it (`engine.allocations`), so it sees them closed as well.

A server that does not answer is waited for until it surely begins no call by itself: none acts upon
gates that it has not seen for longer than `FRESH` (`engine.directory`).
"""

from collections.abc import Collection

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.directory import FRESH
from runyard.engine.elsewhere import MARGIN, Elsewhere
from runyard.engine.sessions import Sessions
from runyard.model.errors import Unconfirmed
from runyard.model.ids import CompanyId, RunId, SessionId, TaskId
from runyard.stores.contract.peering import Verb
from runyard.stores.contract.store import Store


class EndedCalls(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the calls of a task at one server."""

    ended: tuple[RunId, ...] = ()
    left: tuple[RunId, ...] = ()
    """Their worker has not said that nothing of them executes any more."""


encode_ended = msgspec.json.Encoder().encode
_decode_ended = msgspec.json.Decoder(EndedCalls).decode


class CallsElsewhere:
    """What this server asks of those that keep allocations."""

    def __init__(
        self, store: Store, clock: Clock, sessions: Sessions, elsewhere: Elsewhere
    ) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._elsewhere = elsewhere

    async def close(self, company: CompanyId, tasks: Collection[TaskId]) -> None:
        """Return once no other server begins a call of these tasks, whose gates are closed already."""
        sessions = await self._keeping(company, tasks)
        await self._elsewhere.ask_sessions(Verb.CLOSE, company, sessions, patience=FRESH + MARGIN)

    async def end(self, company: CompanyId, task: TaskId) -> EndedCalls:
        """End the calls of a task that execute at other servers. Raises Unconfirmed."""
        sessions = await self._keeping(company, [task])
        found = await self._elsewhere.ask_sessions(
            Verb.END_CALLS,
            company,
            sessions,
            body=str(task).encode(),
            patience=self._sessions.lease + MARGIN,
        )
        if missing := [session for session in sessions if session not in found]:
            raise Unconfirmed(
                "the server that executes calls of the task has not said that it has ended them "
                f"(worker session {missing[0]}); ask again"
            )
        reports = [_decode_ended(finding) for finding in found.values() if finding]
        return EndedCalls(
            ended=tuple(run for report in reports for run in report.ended),
            left=tuple(run for report in reports for run in report.left),
        )

    async def _keeping(self, company: CompanyId, tasks: Collection[TaskId]) -> list[SessionId]:
        """Sessions of other servers that keep these tasks warm, or did so until just now."""
        if not self._store.is_shared:
            return []
        wanted = {a.id for a in await self._store.allocations.list(company) if a.task_id in tasks}
        if not wanted:
            return []
        placed = await self._store.allocations.placements(self._clock.now() - MARGIN)
        here = self._sessions.server
        keeping = (p for p in placed if p.allocation_id in wanted and p.server != here)
        return sorted({placement.session_id for placement in keeping})
