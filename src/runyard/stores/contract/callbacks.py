"""The part of the Store contract that is about callbacks: their outbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runyard.model.callbacks import Callback, CallbackSecret, CallbackState
from runyard.model.ids import CallbackId, CompanyId, RunId


class NewCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to be inserted with its run."""

    id: CallbackId
    public_id: bytes
    dialect: str
    url: str
    host: str
    headers: bytes | None = None
    """Sealed; None for none."""


class CallbackHold(msgspec.Struct, frozen=True, kw_only=True):
    """A server's wish to send a callback. Guard: it is still due."""

    run_id: RunId
    callback_id: CallbackId
    holder: int
    """The incarnation of the server's store: no two openings share one."""
    until: datetime
    """Then it is due again, unless it was settled."""


class CallbackEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending. Guard: it is still in this holder's hand, for this try."""

    run_id: RunId
    callback_id: CallbackId
    holder: int
    tries: int
    state: CallbackState
    """Delivered, dead, or due again."""
    due_at: datetime | None = None
    ended_at: datetime | None = None
    answered: int | None = None
    detail: str = ""


class PendingCallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is anything to do for callbacks."""

    has_ended: bool
    """A run has ended whose callbacks do not know it yet."""
    next_due_at: datetime | None


class Callbacks(Protocol):
    """The outbox of callbacks. They are inserted with their run (`NewRun.callbacks`).

    That a run has ended is all that makes its callbacks due: the outcome's own commit does it,
    whichever way it was written. `ripen` only writes down what follows from that.
    """

    async def awaited(self, limit: int) -> list[RunId]:
        """Runs that have not ended and have callbacks."""

    async def pending(self) -> PendingCallbacks:
        """What there is to do; cheap when there is nothing."""

    async def ended_runs(self, limit: int) -> list[RunId]:
        """Runs that have ended and whose callbacks do not know it yet."""

    async def ripen(self, runs: Sequence[RunId], at: datetime) -> None:
        """The callbacks of these ended runs are due (relaxed)."""

    async def due_hosts(self, now: datetime, limit: int) -> list[str]:
        """Hosts that callbacks are due for (cost grows with hosts, not callbacks)."""

    async def due(self, host: str, now: datetime, limit: int) -> list[Callback]:
        """Due callbacks of a host, earliest first."""

    async def hold(self, holds: Sequence[CallbackHold], now: datetime) -> list[CallbackId]:
        """Take due callbacks in hand, tries + 1 (relaxed); those that nobody else was faster with."""

    async def settle(self, ends: Sequence[CallbackEnd]) -> None:
        """Keep what came of sending."""

    async def release(self, now: datetime) -> None:
        """All that is in anybody's hand is due: for a store that only one server uses."""

    async def find(self, company: CompanyId, callback: CallbackId) -> Callback | None:
        """One callback."""

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> Callback | None:
        """One callback by its public id."""

    async def of_run(self, company: CompanyId, run: RunId) -> list[Callback]:
        """A run's callbacks, in order."""

    async def page(
        self,
        company: CompanyId,
        state: CallbackState | None,
        before: CallbackId | None,
        limit: int,
    ) -> list[Callback]:
        """Newest first."""

    async def count(self, company: CompanyId, state: CallbackState | None) -> int:
        """How many there are; counts to the limit of totals and one more."""

    async def resend(self, company: CompanyId, callbacks: Sequence[Callback], now: datetime) -> int:
        """Make delivered, dead or due ones due now, as if never tried; how many."""

    async def secret(self, company: CompanyId) -> CallbackSecret:
        """Which secrets sign."""

    async def rotate_secret(
        self, company: CompanyId, expected: int, previous_until: datetime
    ) -> bool:
        """The next number signs from now on, the one before until then. Guard: the number."""
