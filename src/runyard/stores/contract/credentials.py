"""The part of the Store contract that is about tickets, API keys and what tokens are signed with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.model.credentials import ApiKey, SigningKey, Ticket, TicketEnd
from runyard.model.ids import ApiKeyId, TicketId, UserId


class Tickets(Protocol):
    """Tickets: rows of signed tokens, by which they are ended."""

    async def create(self, ticket: Ticket, most: int) -> None:
        """Keep a new ticket. Unless it is for several sessions, it ends the user's others that are
        not; beyond so many of a user the oldest end. Those that expired a day ago go.
        """

    async def replace(self, old: TicketId, ticket: Ticket) -> bool:
        """End a ticket and keep its successor in one piece; False, and nothing has changed, when it
        has ended already.
        """

    async def find(self, ticket: TicketId) -> Ticket | None:
        """One ticket, ended or expired ones included."""

    async def end(self, ticket: TicketId, end: TicketEnd, at: datetime) -> bool:
        """False when it has ended already."""


class ApiKeys(Protocol):
    """API keys, by the SHA-256 of what programs present."""

    async def create(self, key: ApiKey, digest: bytes) -> None:
        """Keep a new key."""

    async def find_by_digest(self, digest: bytes) -> ApiKey | None:
        """The key, revoked or expired ones included."""

    async def list(self, user: UserId) -> list[ApiKey]:
        """A user's keys, newest first."""

    async def revoke(self, user: UserId, key: ApiKeyId, at: datetime) -> bool:
        """Revoke it and end every ticket that it got; False when the user has no such key."""

    async def note_use(self, key: ApiKeyId, at: datetime) -> None:
        """Remember when it was used (relaxed)."""


class SigningKeys(Protocol):
    """What tokens are signed with."""

    async def add_first(self, key: SigningKey) -> None:
        """Keep a key unless there is one that signs."""

    async def rotate(self, key: SigningKey, forget_before: datetime) -> None:
        """Keep a key and retire the others; those that were retired before this instant go."""

    async def discard(self, keys: Sequence[str]) -> None:
        """Forget keys: what they signed is valid no longer."""

    async def list(self) -> list[SigningKey]:
        """All keys, newest first."""
