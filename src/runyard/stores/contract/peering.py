"""The Peering contract: what servers that share a database have beside its tables.

They tell each other what has happened, so that nobody has to look all the time. **Nothing may rely on
news having arrived**: whoever tells it may die between its write and the telling, and whoever
listens may be cut off. News only make the next look at the database come sooner; after having
been cut off a server looks at everything.

A server has its name to itself for as long as it listens. That costs no write: the database knows
by itself who is connected.

**Errands** are what a server asks of the one whose worker holds a run. They are rows, answered in
place; news only hurry them. They are addressed to the session that holds the run, because a worker
may take its session to another server. The run itself is the witness: whatever the answer, what is
true of it stands in its row.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from runyard.model.ids import CompanyId, GateId, RunId, SessionId
from runyard.model.servers import Server

LARGEST_NEWS = 7_900
"""Bytes of text that can be told at once."""


class Verb(StrEnum):
    """What a server may ask of another to do with a run."""

    KILL = "kill"
    """End it, begun or not."""
    KILL_BEGUN = "kill_begun"
    """End it if it has begun."""
    DROP = "drop"
    """End it if it has never begun."""
    PARK = "park"
    """Put it aside if its attempt has not begun."""
    INSPECT = "inspect"
    """Have the worker look into a bundle; no run is meant."""
    CLOSE = "close"
    """Look at the gates: of those that are closed no call begins any more; no run is meant."""
    END_CALLS = "end_calls"
    """End the calls of a task that execute; no run is meant."""


class Answer(StrEnum):
    """What became of it."""

    DONE = "done"
    LEFT = "left"
    """The run was not in a state that this was asked for."""
    UNCONFIRMED = "unconfirmed"
    """Ended, but its worker did not answer."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is asked of the server that holds a run."""

    id: int
    session_id: SessionId
    verb: Verb
    company_id: CompanyId
    run_id: RunId
    token: int
    """Of the lease under which the run was held when it was asked."""
    asked_at: datetime
    body: bytes = b""
    """What else has to be known, as the verb has it."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A run, and the session that holds it."""

    run_id: RunId
    company_id: CompanyId
    gate_id: GateId
    session_id: SessionId
    token: int
    attempt: int
    """Attempts that have begun before this one, or this one included if it has."""
    begun_at: datetime | None
    created_at: datetime
    lease_expires_at: datetime | None
    """None: the session is closed, or nobody knows it."""


class Peering(Protocol):
    """A server's connection to the others."""

    @property
    def is_listening(self) -> bool:
        """Whether news that are told now would arrive here."""

    async def enter(self, server: Server) -> bool:
        """Take a name and be listed under it; False when another server that is connected has it.
        Raises StorageUnavailable.
        """

    async def leave(self, at: datetime) -> None:
        """Be listed as stopped, and let the name go."""

    async def servers(self) -> list[Server]:
        """Every server that was ever here and is not forgotten, by name."""

    async def forget(self, seen_before: datetime) -> None:
        """Take servers off the list that are not connected and were last seen before this instant."""

    async def begin_duty(self, duty: str) -> bool:
        """Have a duty to oneself; False while another server has it."""

    async def end_duty(self, duty: str) -> None:
        """Leave it to whoever comes next."""

    async def tell(self, news: str) -> bool:
        """Tell all servers that listen, this one included; False when it cannot be told now."""

    async def attend(self, hear: Callable[[str], None], begun: Callable[[], None]) -> None:
        """Listen until cancelled. `begun` is called each time the listening begins anew: what was
        told before is lost. `hear` gets the news; neither may wait for anything.
        """

    async def holdings(self, runs: Sequence[RunId]) -> list[Holding]:
        """Who holds these runs; those that are not running are absent."""

    async def unbegun(self, gates: Sequence[GateId], but: Sequence[SessionId]) -> list[Holding]:
        """Runs of these gates that are held by other sessions than these and have not begun, as far
        as that is recorded.
        """

    async def leases(self, sessions: Sequence[SessionId]) -> dict[SessionId, datetime]:
        """Until when the leases of these sessions last; closed ones are absent."""

    async def ask(self, errands: Sequence[Errand]) -> None:
        """Ask this of the servers that have these sessions."""

    async def asked(self, sessions: Sequence[SessionId]) -> list[Errand]:
        """What is asked of the server that has these sessions, and not answered yet."""

    async def answer(self, answers: Sequence[tuple[int, Answer, bytes | None]]) -> None:
        """Answer errands, by their ids, with a finding if the verb has one."""

    async def answers(self, errands: Sequence[int]) -> dict[int, Answer]:
        """Answers to those of these errands that have been answered."""

    async def findings(self, errands: Sequence[int]) -> dict[int, bytes | None]:
        """Findings of those of these errands that have been answered."""

    async def withdraw(self, errands: Sequence[int]) -> None:
        """Whatever the answer, nobody waits for it any more."""

    async def forget_errands(self, asked_before: datetime) -> None:
        """Take away what was asked before this instant by servers that died."""

    async def close(self) -> None:
        """Stop listening."""
