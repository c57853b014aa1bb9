"""Signed tokens of users' programs: tickets, with which they are let in, and call tokens.

Both are JWTs. A *ticket* comes from a login with the password or an API key, lives for some minutes,
and has a row by which it ends at once: by logging out, by its refresh, by another login, by a new
password. A *call token* opens one task for calls; it has no row, and lives for as long as it
says, unless its user may no longer do what it is for.

Calls must not verify an RSA signature each time: what was recognised is remembered until it expires,
or until something was revoked; on a database that others use too, its row is read anew each second.
"""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from runyard.engine.api_keys import ApiKeys
from runyard.engine.foundation import Foundation
from runyard.engine.logins import Logins, Origin
from runyard.engine.news import Topic
from runyard.engine.signing import LONGEST_TOKEN_LIFE, MALFORMED, Claims, Signing
from runyard.engine.users import Users
from runyard.model.companies import Company
from runyard.model.credentials import Ticket, TicketEnd
from runyard.model.errors import CompanyNotFound, Forbidden, Unauthenticated
from runyard.model.ids import ApiKeyId, CompanyId, TaskId, TicketId, UserId
from runyard.model.users import User

DEFAULT_TICKET_LIFE = timedelta(minutes=20)
DEFAULT_CALL_LIFE = timedelta(minutes=15)
DEFAULT_MOST_TICKETS = 5
SHARED_LIFE = timedelta(seconds=1)
MOST_CACHED = 10_000
ISSUER = "Runyard"
WRONG = "username, password or API key is wrong"
"""One answer for whatever is wrong with a login."""

_ENDED = {
    TicketEnd.LOGGED_OUT: "the token was logged out",
    TicketEnd.REFRESHED: "the token was refreshed: its successor is valid",
    TicketEnd.OTHER_LOGIN: (
        "the user has logged in again, which ends earlier sessions; log in with "
        '"multipleLogin": true or an API key to keep several'
    ),
    TicketEnd.TOO_MANY: "the user has logged in from more places than are allowed at once",
    TicketEnd.REVOKED: "the token was revoked: a new password, a disabled user, or a revoked key",
}


class TicketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long signed tokens live, and how many tickets a user has."""

    ticket_life: timedelta = DEFAULT_TICKET_LIFE
    call_life: timedelta = DEFAULT_CALL_LIFE
    most_tickets: int = DEFAULT_MOST_TICKETS


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a token lets in, and where."""

    user: User
    company: Company
    expires_at: datetime
    ticket: Ticket | None = None
    task_id: TaskId | None = None
    """Of a call token: the only task that it calls."""


class NewTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket's token, and whom it lets in."""

    token: str
    guest: Guest


class _Known(msgspec.Struct):
    guest: Guest
    key_id: str
    known_at: timedelta
    is_doubted: bool = False
    """Whether it must be looked up again."""


class Tickets:
    """Lets users' programs in."""

    def __init__(
        self,
        foundation: Foundation,
        signing: Signing,
        users: Users,
        logins: Logins,
        api_keys: ApiKeys,
        settings: TicketSettings,
    ) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._peers = foundation.peers
        self._signing = signing
        self._users = users
        self._logins = logins
        self._api_keys = api_keys
        self._settings = settings
        self._known: dict[str, _Known] = {}
        self._companies: dict[UUID, CompanyId] = {}
        self._changes = 0

    # ------------------------------------------------------------ in and out

    async def log_in(
        self, username: str, password: str, origin: Origin, *, is_multiple: bool = False
    ) -> NewTicket:
        """A ticket for whoever knows the password; raises Unauthenticated, TooManyLogins,
        Forbidden for a user without any company.
        """
        slug, email = _split(username)
        try:
            user = await self._logins.verify(email, password, origin)
        except Unauthenticated:
            raise Unauthenticated(WRONG) from None
        return await self._admitted(user, slug, None, is_multiple=is_multiple)

    async def log_in_with_key(self, username: str, secret: str, origin: Origin) -> NewTicket:
        """The same for whoever has one of the user's API keys; it is always for several sessions."""
        slug, email = _split(username)
        email = email.strip().lower()
        self._logins.limits.take(email, origin.address)
        key = await self._api_keys.find(secret)
        user = None if key is None else await self._store.users.find(key.user_id)
        if key is None or user is None or user.email != email or user.disabled_at is not None:
            self._logins.refuse(origin)
            raise Unauthenticated(WRONG)
        self._logins.limits.give_back(email, origin.address)
        return await self._admitted(user, slug, key.id, is_multiple=True)

    async def refresh(self, token: str) -> NewTicket:
        """Another ticket in place of this one, which ends; raises Unauthenticated."""
        guest = await self.authenticate(token)
        old = guest.ticket
        if old is None:
            raise Unauthenticated("a call token is not refreshed: ask for access details anew")
        ticket = await self._new(guest.user.id, guest.company, old.api_key_id, old.is_multiple)
        if not await self._store.tickets.replace(old.id, ticket):
            raise Unauthenticated(_ENDED[TicketEnd.REFRESHED])
        self._revoked()
        return await self._issued(ticket, guest.user, guest.company)

    async def log_out(self, token: str) -> None:
        """End the ticket; raises Unauthenticated."""
        guest = await self.authenticate(token)
        if guest.ticket is None:
            raise Unauthenticated("a call token is no session: it expires by itself")
        await self._store.tickets.end(guest.ticket.id, TicketEnd.LOGGED_OUT, self._clock.now())
        self._revoked()

    async def is_valid(self, token: str) -> bool:
        """Whether it opens anything."""
        try:
            await self.authenticate(token)
        except Unauthenticated:
            return False
        return True

    async def call_token(self, user: User, company: Company, task: TaskId) -> str:
        """A token that calls this task as this user."""
        now = self._clock.now()
        claims = self._claims(user.id, company, now, self._settings.call_life)
        claims |= {"multipleLogin": True, "botId": task}
        return await self._signing.sign(claims)

    # ------------------------------------------------------------ recognising

    def recall(self, token: str) -> Guest | None:
        """Whom a token lets in, if it was recognised lately; no look at anything else."""
        known = self._known.get(token)
        if known is None or self._is_stale(known):
            return None
        if known.guest.expires_at <= self._clock.now():
            del self._known[token]
            return None
        return known.guest

    async def authenticate(self, token: str) -> Guest:
        """Whom a token lets in; raises Unauthenticated."""
        return self.recall(token) or await self._looked_up(token)

    def forget(self) -> None:
        """Look whatever was recognised up again before it opens anything."""
        self._changes += 1
        self._signing.forget()
        for known in self._known.values():
            known.is_doubted = True

    def _is_stale(self, known: _Known) -> bool:
        if known.is_doubted or not self._store.is_shared:
            return known.is_doubted
        return self._clock.monotonic() - known.known_at >= SHARED_LIFE

    async def _looked_up(self, token: str) -> Guest:
        changes = self._changes
        known = self._known.pop(token, None)
        if known is None:
            signed = await self._signing.verify(token)
            guest, key_id = await self._guest_of(signed.claims), signed.key_id
        else:
            guest, key_id = await self._still(known), known.key_id
        if self._changes != changes:  # what was read may be what was revoked meanwhile
            return await self._looked_up(token)
        if len(self._known) >= MOST_CACHED:
            self._known.clear()
        self._known[token] = _Known(guest, key_id, self._clock.monotonic())
        return guest

    async def _guest_of(self, claims: Claims) -> Guest:
        try:
            read = msgspec.convert(claims, _Claims)
        except msgspec.ValidationError:
            raise Unauthenticated(MALFORMED) from None
        expires_at = datetime.fromtimestamp(read.exp, tz=self._clock.now().tzinfo)
        self._refuse_expired(expires_at)
        if read.task is not None:
            company = await self._company_of(read.company)
            user = await self._user_in(UserId(int(read.sub)), company)
            return Guest(
                user=user, company=company, expires_at=expires_at, task_id=TaskId(read.task)
            )
        return await self._holder(TicketId(int(read.jti or 0)), expires_at)

    async def _still(self, known: _Known) -> Guest:
        """The same guest as it is now: with the roles of now, if it is still let in."""
        guest = known.guest
        self._refuse_expired(guest.expires_at)
        if not await self._signing.is_valid(known.key_id):
            raise Unauthenticated("the key that signed the token was discarded")
        if guest.ticket is not None:
            return await self._holder(guest.ticket.id, guest.expires_at)
        company = await self._directory.company_by_id(guest.company.id)
        user = await self._user_in(guest.user.id, company)
        return msgspec.structs.replace(guest, user=user, company=company)

    async def _holder(self, ticket_id: TicketId, expires_at: datetime) -> Guest:
        ticket = await self._store.tickets.find(ticket_id)
        if ticket is None:
            raise Unauthenticated("the token is not known")
        if ticket.end is not None:
            raise Unauthenticated(_ENDED[ticket.end])
        company = await self._directory.company_by_id(ticket.company_id)
        user = await self._user_in(ticket.user_id, company)
        return Guest(user=user, company=company, expires_at=expires_at, ticket=ticket)

    def _refuse_expired(self, expires_at: datetime) -> None:
        if expires_at <= self._clock.now():
            raise Unauthenticated("the token has expired")

    async def _user_in(self, user_id: UserId, company: Company) -> User:
        user = await self._store.users.find(user_id)
        if user is None or user.disabled_at is not None or user.role_in(company.id) is None:
            raise Unauthenticated("the token's user may not do anything here any more")
        return user

    async def _company_of(self, text: str) -> Company:
        uuid = UUID(text)
        found = self._companies.get(uuid)
        if found is None:
            self._companies = {each.uuid: each.id for each in await self._store.companies.list()}
            found = self._companies.get(uuid)
        if found is None:
            raise Unauthenticated("the token's company is not known")
        return await self._directory.company_by_id(found)

    # ------------------------------------------------------------ steps of a login

    async def _admitted(
        self, user: User, slug: str | None, key: ApiKeyId | None, *, is_multiple: bool
    ) -> NewTicket:
        company = await self._home_of(user, slug)
        ticket = await self._new(user.id, company, key, is_multiple)
        await self._store.tickets.create(ticket, self._settings.most_tickets)
        self._revoked()
        return await self._issued(ticket, user, company)

    async def _home_of(self, user: User, slug: str | None) -> Company:
        if slug is None:
            company = await self._users.home_company(user)
            if company is None:
                raise Forbidden("the user has no role in any company")
            return company
        try:
            company = await self._directory.company(slug)
        except CompanyNotFound:
            raise Unauthenticated(WRONG) from None
        if user.role_in(company.id) is None:
            raise Unauthenticated(WRONG)
        return company

    async def _new(
        self,
        user: UserId,
        company: Company,
        key: ApiKeyId | None,
        is_multiple: bool,  # noqa: FBT001 - a column
    ) -> Ticket:
        now = self._clock.now()
        return Ticket(
            id=TicketId(await self._ids.take()),
            user_id=user,
            company_id=company.id,
            api_key_id=key,
            is_multiple=is_multiple,
            created_at=now,
            expires_at=now + self._settings.ticket_life,
        )

    async def _issued(self, ticket: Ticket, user: User, company: Company) -> NewTicket:
        claims = self._claims(user.id, company, ticket.created_at, self._settings.ticket_life)
        claims |= {
            "jti": str(ticket.id),
            "licenses": [],
            "analyticsLicensesPurchased": {},
            "csrfToken": secrets.token_hex(16),
        }
        if ticket.is_multiple:
            claims["multipleLogin"] = True
        token = await self._signing.sign(claims)
        guest = Guest(user=user, company=company, expires_at=ticket.expires_at, ticket=ticket)
        return NewTicket(token=token, guest=guest)

    def _claims(
        self, user: UserId, company: Company, at: datetime, life: timedelta
    ) -> dict[str, object]:
        issued = int(at.timestamp())
        return {
            "sub": str(user),
            "clientType": "WEB",
            "tenantUuid": str(company.uuid),
            "iat": issued,
            "exp": issued + int(min(life, LONGEST_TOKEN_LIFE).total_seconds()),
            "iss": ISSUER,
            "nanoTime": self._clock.monotonic() // timedelta(microseconds=1) * 1000,
        }

    def _revoked(self) -> None:
        """Something was ended, here: nobody relies on what was recognised before."""
        self.forget()
        self._peers.say(Topic.TOKENS)


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    sub: str
    company: str = msgspec.field(name="tenantUuid")
    exp: int
    jti: str | None = None
    task: int | None = msgspec.field(name="botId", default=None)


def _split(username: str) -> tuple[str | None, str]:
    """The company and the user's name of `company\\name`."""
    company, separator, name = username.rpartition("\\")
    return (company if separator else None), name
