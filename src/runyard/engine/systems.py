"""Systems: programs of others that call in by a UUID, let in or kept out by an administrator.

Such a caller has nothing but its UUID, which it says in every request. It is found by a hash, as
tokens are. Unlike theirs it can be told again, for answers and callbacks of the dialect that is
spoken with systems name it: it is kept sealed with the master key, and shown to people once.

What was decided about a system takes effect at once on the server where it was decided, and within
a second on the others; these hear of it as they hear of revoked tokens. A removed system's row
stays, for its runs name it and what is still to be told to it has to.
"""

import builtins
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runyard.engine.foundation import Foundation
from runyard.engine.keys import Keys
from runyard.engine.news import Topic
from runyard.engine.tokens import MOST_CACHED, SHARED_LIFE, digest_of
from runyard.model.companies import Company
from runyard.model.errors import (
    FieldProblem,
    InputRefused,
    NameTaken,
    SystemNotAllowed,
    SystemNotFound,
    Unauthenticated,
    WrongMasterKey,
)
from runyard.model.ids import ActorId, CompanyId, SystemId, TokenId
from runyard.model.runs import Run
from runyard.model.systems import System, SystemState
from runyard.model.tokens import Role, Token, TokenKind
from runyard.outbound.addresses import read_allowance
from runyard.telemetry import SYSTEM_CHANGED, emit

LONGEST_NAME = 200
LONGEST_DESCRIPTION = 2_000
MOST_HOSTS = 50
"""Hosts that the input files of one system may come from."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PURPOSE = "systems"
_NONCE = 12


class NewSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system and its UUID, which people are shown once."""

    system: System
    uuid: str


class SystemChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; None stays as it is."""

    name: str | None = None
    description: str | None = None
    files_from: Sequence[str] | None = None


class _Known(msgspec.Struct, frozen=True):
    system: System
    known_at: timedelta


class Systems:
    """Makes systems, recognises them, lets them in."""

    def __init__(self, foundation: Foundation, keys: Keys) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._peers = foundation.peers
        self._secrets = foundation.secrets
        self._keys = keys
        self._known: dict[str, _Known] = {}
        self._seen: dict[SystemId, tuple[str, datetime]] = {}
        self._decisions = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called once something was decided about a system."""

    # ------------------------------------------------------------ what administrators do

    async def create(
        self,
        company: Company,
        name: str,
        *,
        description: str = "",
        files_from: Sequence[str] = (),
        allowed: bool = False,
        by: ActorId | None = None,
    ) -> NewSystem:
        """Make a system, which waits to be allowed unless it is said to be.

        Raises InputRefused, NameTaken, WrongMasterKey.
        """
        change = SystemChange(name=name, description=description, files_from=files_from)
        wanted = _accepted(change)
        system_id = SystemId(await self._ids.take())
        uuid, now = str(self._clock.new_uuid()), self._clock.now()
        system = System(
            id=system_id,
            company_id=company.id,
            name=wanted.name or "",
            description=wanted.description or "",
            state=SystemState.ALLOWED if allowed else SystemState.REQUEST,
            last_characters=uuid[-4:],
            sealed=self._sealed(system_id, uuid),
            files_from=tuple(wanted.files_from or ()),
            created_at=now,
            updated_at=now,
            updated_by=by,
        )
        if not await self._store.systems.create(system, digest_of(uuid)):
            raise _taken(system.name)
        self._secrets.forget()
        self._peers.say(Topic.TOKENS)
        _tell("created", system, by)
        return NewSystem(system=system, uuid=uuid)

    async def list(
        self, company: Company, state: SystemState | None = None, search: str = ""
    ) -> builtins.list[System]:
        """A company's systems, newest first; those in one state, or with a text in what people read
        of them, or all.
        """
        found = [self._as_seen(system) for system in await self._store.systems.list(company.id)]
        wanted = search.strip().casefold()
        return [
            system
            for system in found
            if state in (None, system.state) and (not wanted or _has(system, wanted))
        ]

    async def waiting(self) -> Mapping[CompanyId, int]:
        """How many wait to be allowed, in each company where any do."""
        return await self._store.systems.waiting()

    async def load(self, company: CompanyId, ref: str) -> System:
        """A system of a company by its id or name; raises SystemNotFound."""
        systems = await self._store.systems.list(company)
        for system in systems:
            if ref == system.name or ref == str(system.id):  # no name is a number
                return self._as_seen(system)
        raise SystemNotFound(f"there is no system {ref}")

    async def find(self, system: SystemId) -> System | None:
        """One by its id, also when it was removed."""
        found = await self._store.systems.find(system)
        return None if found is None else self._as_seen(found)

    async def allow(self, system: System, by: ActorId | None = None) -> System:
        """Let it call, from now on; raises SystemNotFound."""
        return await self._set_state(system, SystemState.ALLOWED, by)

    async def keep_out(self, system: System, by: ActorId | None = None) -> System:
        """Keep it out, from now on. What it started goes on. Raises SystemNotFound."""
        return await self._set_state(system, SystemState.LOCKED, by)

    async def change(
        self, system: System, change: SystemChange, by: ActorId | None = None
    ) -> System:
        """Rename it, describe it, open hosts to its files; raises InputRefused, NameTaken,
        SystemNotFound.
        """
        wanted = _accepted(change)
        given = {
            field: value
            for field in change.__struct_fields__
            if (value := getattr(wanted, field)) is not None
        }
        changed = msgspec.structs.replace(
            system, **given, updated_at=self._clock.now(), updated_by=by
        )
        kept = await self._store.systems.change(changed)
        if kept is None:
            raise _taken(changed.name)
        found = await self._decided(system, done=kept)
        _tell("changed", found, by)
        return found

    async def renew(self, system: System, by: ActorId | None = None) -> NewSystem:
        """Give it a new UUID; the one before is unknown from now on.

        Raises SystemNotFound, WrongMasterKey.
        """
        uuid = str(self._clock.new_uuid())
        renewed = msgspec.structs.replace(
            system,
            last_characters=uuid[-4:],
            sealed=self._sealed(system.id, uuid),
            updated_at=self._clock.now(),
            updated_by=by,
        )
        done = await self._store.systems.renew(renewed, digest_of(uuid))
        found = await self._decided(system, done=done)
        _tell("renewed", found, by)
        return NewSystem(system=found, uuid=uuid)

    async def remove(self, system: System, by: ActorId | None = None) -> None:
        """Forget it: its UUID is unknown from now on. What it started goes on. Raises SystemNotFound."""
        done = await self._store.systems.remove(system.id, self._clock.now(), by)
        _tell("removed", await self._decided(system, done=done), by)

    async def _set_state(self, system: System, state: SystemState, by: ActorId | None) -> System:
        done = await self._store.systems.set_state(system.id, state, self._clock.now(), by)
        found = await self._decided(system, done=done)
        _tell(state.value, found, by)
        return found

    async def _decided(self, system: System, *, done: bool) -> System:
        """The system as it is now; here it takes effect before this returns."""
        if not done:
            raise SystemNotFound(f"there is no system {system.name} any more")
        self.forget()
        self._secrets.forget()
        self.on_change()
        self._peers.say(Topic.TOKENS)
        found = await self.find(system.id)
        assert found is not None, "rows of systems stay"
        return found

    # ------------------------------------------------------------ what systems do

    async def admit(self, uuid: str | None, address: str = "") -> System:
        """The system of this UUID, which calls from this address, and may.

        Raises Unauthenticated, SystemNotAllowed.
        """
        known = self._recall(uuid or "") or await self._recognised(uuid or "")
        system = known.system
        self._seen[system.id] = (address, self._clock.now())
        if not system.is_allowed:
            raise SystemNotAllowed(system)
        return system

    def reveal(self, system: System) -> str:
        """The system's UUID; raises WrongMasterKey."""
        self._keys.demand_right()
        nonce, sealed = system.sealed[:_NONCE], system.sealed[_NONCE:]
        try:
            return self._seal(system.id).decrypt(nonce, sealed, None).decode()
        except InvalidTag:
            raise WrongMasterKey("a system's UUID does not open with this master key") from None

    def forget(self) -> None:
        """Look every system up anew: something may have been decided."""
        self._decisions += 1
        self._known.clear()

    async def note_uses(self) -> None:
        """Write down from where and when systems last called."""
        if self._seen:
            seen, self._seen = self._seen, {}
            await self._store.systems.note([(system, *use) for system, use in seen.items()])

    def _recall(self, uuid: str) -> _Known | None:
        known = self._known.get(uuid)
        if known is None or not self._store.is_shared:
            return known
        return known if self._clock.monotonic() - known.known_at <= SHARED_LIFE else None

    async def _recognised(self, uuid: str) -> _Known:
        if not uuid:
            raise Unauthenticated("a system says its UUID; there is none in this request")
        if not _UUID.fullmatch(uuid):
            raise Unauthenticated("this is not the UUID of a system, or a part of one")
        decisions = self._decisions
        found = await self._store.systems.find_by_digest(digest_of(uuid.lower()))
        if found is None:
            raise Unauthenticated("no system has this UUID")
        if self._decisions != decisions:  # what was read may be what was decided upon meanwhile
            return await self._recognised(uuid)
        if len(self._known) >= MOST_CACHED:
            self._known.clear()
        known = self._known[uuid] = _Known(found, self._clock.monotonic())
        return known

    def _as_seen(self, system: System) -> System:
        """The system with a call of it that is not written down yet."""
        if (use := self._seen.get(system.id)) is None:
            return system
        return msgspec.structs.replace(system, address=use[0], last_seen_at=use[1])

    # ------------------------------------------------------------ its runs

    async def starter(self, run: Run) -> System | None:
        """The system that started this run, or the one that it is a restart of; None for others'."""
        while run.restarted_from is not None:
            before = await self._store.runs.find(run.company_id, run.restarted_from)
            if before is None:
                break
            run = before
        if run.started_by is None:
            return None
        return await self._store.systems.find(SystemId(run.started_by))

    async def has_started(self, system: System, run: Run) -> bool:
        """Whether the run is this system's, by itself or as a restart of one that is."""
        if run.started_by == system.actor:
            return True
        if run.company_id != system.company_id or run.restarted_from is None:
            return False
        starter = await self.starter(run)
        return starter is not None and starter.id == system.id

    async def files_from(self, run: Run) -> tuple[str, ...]:
        """What the input files of a restart of this run may be fetched from, beside what everybody's
        may: what its system has, while that is allowed.
        """
        starter = await self.starter(run)
        return starter.files_from if starter is not None and starter.is_allowed else ()

    async def concealed(self, run: Run, text: bytes) -> bytes:
        """What is told of this run to its system, as others may read it: without the system's UUID.

        Raises WrongMasterKey.
        """
        starter = await self.starter(run)
        if starter is None:
            return text
        return text.replace(self.reveal(starter).encode(), f"...{starter.last_characters}".encode())

    async def how_to_open(self, run: Run) -> str:
        """What a refusal to visit an address says besides, to whoever reads it in this run's log."""
        return _opening(await self.starter(run))

    async def how_to_open_to(self, actor: ActorId | None) -> str:
        """The same, to whoever starts a run."""
        return _opening(None if actor is None else await self._store.systems.find(SystemId(actor)))

    # ------------------------------------------------------------ the UUID

    def _sealed(self, system: SystemId, uuid: str) -> bytes:
        self._keys.demand_right()
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._seal(system).encrypt(nonce, uuid.encode(), None)

    def _seal(self, system: SystemId) -> AESGCM:
        """What seals one system's UUID, and nothing else."""
        return AESGCM(self._keys.derive(_PURPOSE, str(system).encode()))


def as_token(system: System) -> Token:
    """The system as a list of tokens shows it."""
    return Token(
        id=TokenId(system.id),
        kind=TokenKind.SYSTEM,
        company_id=system.company_id,
        role=Role.OPERATOR,
        name=system.name,
        last_characters=system.last_characters,
        created_at=system.created_at,
        expires_at=None,
        revoked_at=system.removed_at,
        last_used_at=system.last_seen_at,
    )


def _has(system: System, text: str) -> bool:
    shown = (system.name, system.description, system.address, system.last_characters)
    return any(text in part.casefold() for part in shown)


def _opening(system: System | None) -> str:
    return "" if system is None else f", or the files_from of the system {system.name!r} alone"


def _tell(change: str, system: System, by: ActorId | None) -> None:
    emit(
        SYSTEM_CHANGED,
        system_id=system.id,
        company_id=system.company_id,
        name=system.name,
        change=change,
        by=by,
    )


def _taken(name: str) -> NameTaken:
    return NameTaken(f"there is a system {name!r} already")


def _accepted(change: SystemChange) -> SystemChange:
    """The change as it is kept; raises InputRefused."""
    problems = []
    name, description = change.name, change.description
    if name is not None:
        name = name.strip()
        if not name or len(name) > LONGEST_NAME or not name.isprintable() or name.isdigit():
            allowed = f"1 to {LONGEST_NAME} characters that can be printed, not only digits"
            problems.append(FieldProblem(field="name", seen=repr(name)[:80], allowed=allowed))
    if description is not None:
        description = description.strip()
        if len(description) > LONGEST_DESCRIPTION or not (description + " ").isprintable():
            allowed = f"at most {LONGEST_DESCRIPTION:,} characters that can be printed"
            seen = repr(description)[:80]
            problems.append(FieldProblem(field="description", seen=seen, allowed=allowed))
    hosts = None if change.files_from is None else [host.strip() for host in change.files_from]
    if problems := [*problems, *_wrong(hosts or ())]:
        raise InputRefused(problems)
    kept = None if hosts is None else tuple(dict.fromkeys(hosts))
    return SystemChange(name=name, description=description, files_from=kept)


def _wrong(hosts: Sequence[str]) -> builtins.list[FieldProblem]:
    if len(hosts) > MOST_HOSTS:
        seen, allowed = f"{len(hosts)} entries", f"at most {MOST_HOSTS}"
        return [FieldProblem(field="files_from", seen=seen, allowed=allowed)]
    problems = []
    for place, host in enumerate(hosts):
        try:
            read_allowance(host)
        except ValueError:
            allowed = "a host, address or network, with or without a port: 10.1.0.0/16:443"
            seen = repr(host)[:80]
            problems.append(FieldProblem(field=f"files_from[{place}]", seen=seen, allowed=allowed))
    return problems
