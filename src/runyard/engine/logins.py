"""Logins: browsers in which a user has signed in.

The browser holds an opaque random secret; the database its SHA-256. A login ends when it has not
been used for a while, at its last moment however much it is used, and at once when it is revoked:
by signing out, by a new password, or everywhere at once. Servers that share a database tell each
other, and look for themselves after a second in case they were not told.
"""

import builtins
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.ids import Ids
from runyard.engine.login_limits import LoginLimits
from runyard.engine.passwords import Passwords
from runyard.engine.tokens import digest_of, sealed_secret
from runyard.engine.users import Users, is_plausible_email
from runyard.model.errors import Unauthenticated
from runyard.model.ids import LoginId, UserId
from runyard.model.users import Login, User
from runyard.stores.contract.store import Store
from runyard.telemetry import LOGIN_REFUSED, emit

SHARED_LIFE = timedelta(seconds=1)
MOST_CACHED = 10_000
LONGEST_BROWSER = 200
DEFAULT_IDLE = timedelta(hours=12)
DEFAULT_LASTING = timedelta(days=14)
REFUSED = "email or password is wrong"
"""One answer for a wrong password, an unknown user and one who may not sign in."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a login comes from."""

    address: str
    browser: str = ""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A user, signed in."""

    login: Login
    user: User


class NewLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A login and its secret, which only the browser keeps."""

    visit: Visit
    secret: str


class _Known(msgspec.Struct):
    visit: Visit
    known_at: timedelta
    last_used_at: datetime
    """Perhaps later than the database knows."""
    is_doubted: bool = False
    """Whether it must be looked up again."""


class Logins:
    """Lets people in, and out."""

    def __init__(  # noqa: PLR0913 - each is a part or a setting of its own
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        users: Users,
        passwords: Passwords,
        *,
        idle: timedelta = DEFAULT_IDLE,
        lasting: timedelta = DEFAULT_LASTING,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._users = users
        self._passwords = passwords
        self.idle = idle
        """How long one may go unused."""
        self.lasting = lasting
        """How long one holds at most."""
        self.limits = LoginLimits(clock)
        """How often somebody may try."""
        self._known: dict[str, _Known] = {}
        self._uses: dict[LoginId, datetime] = {}
        self._changes = 0
        users.on_change = self._changed
        self.on_change: Callable[[], None] = _nobody_listens
        """Called when a login was revoked here, or what somebody may do has changed."""

    async def sign_in(self, email: str, password: str, origin: Origin) -> NewLogin:
        """A new login; raises Unauthenticated, TooManyLogins."""
        return await self.open(await self.verify(email, password, origin), origin)

    async def verify(self, email: str, password: str, origin: Origin) -> User:
        """Whose password this is; raises Unauthenticated, TooManyLogins after many tries."""
        email = email.strip().lower()
        self.limits.take(email, origin.address)
        user = await self._verified(email, password)
        if user is None:
            self.refuse(origin)
            raise Unauthenticated(REFUSED)
        self.limits.give_back(email, origin.address)
        return user

    def refuse(self, origin: Origin) -> None:
        """Note that somebody was not let in."""
        emit(LOGIN_REFUSED, address=origin.address)

    async def open(self, user: User, origin: Origin) -> NewLogin:
        """A login for a user who has just shown who it is by other means: a set-up link."""
        secret = sealed_secret("login")
        now = self._clock.now()
        login = Login(
            id=LoginId(await self._ids.take()),
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + self.lasting,
            revoked_at=None,
            address=origin.address,
            browser=origin.browser[:LONGEST_BROWSER],
        )
        await self._store.logins.create(login, digest_of(secret))
        return NewLogin(visit=Visit(login=login, user=user), secret=secret)

    async def confirm(self, visit: Visit, password: str) -> None:
        """Raise Unauthenticated unless it is the user's password, TooManyLogins after many tries."""
        email, address = visit.user.email, visit.login.address
        self.limits.take(email, address)
        if not await self._passwords.verify(
            await self._store.users.password_hash(visit.user.id), password
        ):
            raise Unauthenticated("this is not your password")
        self.limits.give_back(email, address)

    async def recognise(self, secret: str) -> Visit:
        """Who this is; raises Unauthenticated. It does not count as use: see `note_use`."""
        known = self._known.get(secret)
        if known is None or self._is_stale(known):
            known = await self._looked_up(secret)
        now = self._clock.now()
        login = known.visit.login
        if login.expires_at <= now or known.last_used_at + self.idle <= now:
            self._known.pop(secret, None)
            raise Unauthenticated("you were signed out, because it has been a while")
        return known.visit

    def note_use(self, secret: str) -> None:
        """The user did something: the time without use begins anew."""
        known = self._known.get(secret)
        if known is not None:
            known.last_used_at = self._uses[known.visit.login.id] = self._clock.now()

    async def list(self, user: UserId) -> builtins.list[Login]:
        """Where a user is signed in, newest first."""
        now = self._clock.now()
        logins = [self._as_used(login) for login in await self._store.logins.list(user, now)]
        return [login for login in logins if login.last_used_at + self.idle > now]

    def _as_used(self, login: Login) -> Login:
        """The login with a use of it that is not written down yet."""
        used_at = self._uses.get(login.id)
        return login if used_at is None else msgspec.structs.replace(login, last_used_at=used_at)

    async def sign_out(self, visit: Visit) -> None:
        """End this login."""
        await self.end(visit.user.id, visit.login.id)

    async def end(self, user: UserId, login: LoginId) -> None:
        """End one login of a user; nothing when there is no such login."""
        await self._store.logins.revoke(user, login, self._clock.now())
        self._changed()

    async def sign_out_everywhere(self, user: UserId, kept: LoginId | None = None) -> None:
        """End every login of a user, but for one that may be kept, and every ticket."""
        await self._store.logins.revoke_all(user, self._clock.now(), kept)
        self._changed()

    async def note_uses(self) -> None:
        """Write down when logins were last used."""
        if self._uses:
            uses, self._uses = self._uses, {}
            await self._store.logins.note_use(list(uses.items()))

    def forget(self) -> None:
        """Look every login up again before it lets anybody in."""
        self._changes += 1
        for known in self._known.values():
            known.is_doubted = True

    def _changed(self) -> None:
        self.forget()
        self.on_change()

    def _is_stale(self, known: _Known) -> bool:
        age = self._clock.monotonic() - known.known_at
        return known.is_doubted or (self._store.is_shared and age >= SHARED_LIFE)

    async def _looked_up(self, secret: str) -> _Known:
        changes = self._changes
        before = self._known.pop(secret, None)
        login = await self._store.logins.find_by_digest(digest_of(secret))
        if login is None or login.revoked_at is not None:
            raise Unauthenticated("you are not signed in")
        user = await self._store.users.find(login.user_id)
        if user is None or user.disabled_at is not None:
            raise Unauthenticated("you are not signed in")
        if self._changes != changes:  # what was read may be what was changed meanwhile
            return await self._looked_up(secret)
        if len(self._known) >= MOST_CACHED:
            self._known.clear()
        used_at = max(login.last_used_at, before.last_used_at if before else login.last_used_at)
        known = _Known(Visit(login=login, user=user), self._clock.monotonic(), used_at)
        self._known[secret] = known
        return known

    async def _verified(self, email: str, password: str) -> User | None:
        """The user, when the password is right and signing in allowed; always after one hash."""
        user = await self._store.users.find_by_email(email) if is_plausible_email(email) else None
        stored = None if user is None else await self._store.users.password_hash(user.id)
        if not await self._passwords.verify(stored, password):
            return None
        if user is None or stored is None or user.disabled_at is not None:
            return None
        if self._passwords.is_outdated(stored):
            renewed = await self._passwords.hash(password)
            await self._store.users.refresh_password_hash(user.id, renewed, stored)
        return user


def _nobody_listens() -> None:
    pass
