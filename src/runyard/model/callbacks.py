"""Callbacks: requests to other servers when a run has ended."""

from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import CallbackId, CompanyId, RunId


class CallbackState(StrEnum):
    """Where a callback is.

    waiting     Its run has not ended.
    due         To be sent at an instant: at once, or again after a failure.
    sending     A server has it in hand, for a minute at most.
    delivered   Its receiver has answered 2xx.
    dead        Given up; it can be sent again by hand.
    """

    WAITING = "waiting"
    DUE = "due"
    SENDING = "sending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """One request that a run's end leads to."""

    id: CallbackId
    public_id: bytes
    """Stays the same however often it is sent; receivers tell repetitions by it."""
    company_id: CompanyId
    run_id: RunId
    dialect: str
    """In whose form the run's end is told."""
    url: str
    host: str
    """Scheme, host and port: what shares one receiver's patience."""
    state: CallbackState
    tries: int
    """How often it was sent, or begun to be."""
    due_at: datetime | None
    """When it is sent (again); while it is being sent, when another server may take it over."""
    answered: int | None
    """HTTP status of the last answer."""
    detail: str
    """Why the last try failed; empty when it did not."""
    created_at: datetime
    ended_at: datetime | None
    """When it was delivered or given up."""
    headers: bytes | None = None
    """What its caller wants it to carry besides, sealed."""

    @property
    def shown_url(self) -> str:
        """The address without its query, in which receivers keep secrets."""
        address, question, _ = self.url.partition("?")
        return f"{address}?..." if question else self.url


class CallbackSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Which secrets of a company sign callbacks; the secrets themselves are derived, not stored."""

    number: int = 1
    """Rises with each rotation."""
    previous_until: datetime | None = None
    """Until then the secret before signs as well."""
