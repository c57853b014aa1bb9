"""Callbacks as callers see them: named at a start, listed, sent again, signed by secrets.

They are inserted with their run, in one piece. That the run has ended makes them due, by the very
commit that ended it; `couriers` sends them.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec

from runyard.engine import callback_headers
from runyard.engine.callback_headers import Headers
from runyard.engine.foundation import Foundation
from runyard.engine.keys import Keys
from runyard.engine.signatures import secret_text
from runyard.model.callbacks import Callback, CallbackSecret, CallbackState
from runyard.model.companies import Company
from runyard.model.errors import (
    AddressRefused,
    CallbackNotFound,
    CallbackNotReady,
    FieldProblem,
    InputRefused,
)
from runyard.model.ids import CallbackId, CompanyId, RunId, decode_public_id
from runyard.model.runs import Run
from runyard.outbound.addresses import WebAddress, read_address
from runyard.stores.contract.callbacks import NewCallback
from runyard.stores.contract.listing import TOTAL_LIMIT
from runyard.stores.contract.runs import RunValues

NATIVE = "native"
MOST_CALLBACKS = 10
"""Of one run."""
ROTATION = timedelta(days=1)
"""How long the secret before still signs after a rotation."""
RESENT_AT_ONCE = 500
_SECRET_LIFE = timedelta(seconds=1)

Judge = Callable[[WebAddress], None]
"""Raises AddressRefused for what may not be visited, as far as the address itself shows it."""
Body = Callable[[Company, Run, RunValues], Awaitable[bytes]]
"""What a callback of one dialect says of a run that has ended."""


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that a caller asks for."""

    url: str
    dialect: str = NATIVE
    headers: Headers = {}
    """Sent besides; kept sealed and shown to nobody."""


class CallbackPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some callbacks, newest first."""

    callbacks: tuple[Callback, ...]
    next: CallbackId | None
    total: int
    total_is_exact: bool


class CallbackSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What receivers verify signatures with."""

    current: str
    previous: str | None
    """Signs as well, for some time after a rotation."""
    record: CallbackSecret


class Callbacks:
    """Everything about callbacks but the sending."""

    def __init__(self, foundation: Foundation, keys: Keys, judge: Judge) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._keys = keys
        self._judge = judge
        self.bodies: dict[str, Body] = {}
        """By dialect; each door that offers callbacks adds its own."""
        self.on_awaited: Callable[[Sequence[RunId]], None] = _nobody
        """Called before runs are started that have callbacks."""
        self.on_due: Callable[[], None] = _nothing
        """Called when callbacks have become due by hand."""
        self._secrets: dict[CompanyId, tuple[timedelta, CallbackSecret]] = {}

    # ------------------------------------------------------------ with a start

    async def new(
        self, company: Company, run: RunId, requests: Sequence[CallbackRequest]
    ) -> tuple[NewCallback, ...]:
        """The callbacks to insert with a run; raises InputRefused, WrongMasterKey."""
        if len(requests) > MOST_CALLBACKS:
            problem = FieldProblem(
                field="callbacks", seen=f"{len(requests)}", allowed=f"at most {MOST_CALLBACKS}"
            )
            raise InputRefused([problem])
        addresses = [self._read(place, request) for place, request in enumerate(requests)]
        first = await self._ids.take(len(requests))
        self.on_awaited([run])
        return tuple(
            NewCallback(
                id=CallbackId(first + place),
                public_id=self._clock.new_public_id(),
                dialect=request.dialect,
                url=str(address),
                host=address.shown,
                headers=callback_headers.sealed(self._keys, company, request.headers),
            )
            for place, (request, address) in enumerate(zip(requests, addresses, strict=True))
        )

    def _read(self, place: int, request: CallbackRequest) -> WebAddress:
        try:
            address = read_address(request.url)
            self._judge(address)
        except AddressRefused as refusal:
            problem = FieldProblem(
                field=f"callbacks[{place}].url", seen=request.url[:200], allowed=refusal.detail
            )
            raise InputRefused([problem]) from None
        callback_headers.refuse_unfit(f"callbacks[{place}].headers", request.headers)
        return address

    async def copies(self, company: Company, run: RunId, new_run: RunId) -> tuple[NewCallback, ...]:
        """The callbacks of a run, for its restart."""
        callbacks = await self._store.callbacks.of_run(company.id, run)
        if not callbacks:
            return ()
        requests = [
            CallbackRequest(url=c.url, dialect=c.dialect, headers=self.headers(company, c))
            for c in callbacks
        ]
        return await self.new(company, new_run, requests)

    def headers(self, company: Company, callback: Callback) -> Headers:
        """What its caller wants it to carry besides; raises WrongMasterKey."""
        return callback_headers.unsealed(self._keys, company, callback.headers)

    # ------------------------------------------------------------ looking and sending again

    async def load(self, company: Company, ref: str) -> Callback:
        """The callback of this id or public id; raises CallbackNotFound."""
        found: Callback | None = None
        if ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await self._store.callbacks.find(company.id, CallbackId(int(ref)))
        elif (raw := decode_public_id(ref)) is not None:
            found = await self._store.callbacks.find_by_public_id(company.id, raw)
        if found is None:
            raise CallbackNotFound(f"there is no callback {ref!r}")
        return found

    async def of_run(self, company: Company, run: Run) -> tuple[Callback, ...]:
        """A run's callbacks, in order."""
        return tuple(await self._store.callbacks.of_run(company.id, run.id))

    async def page(
        self,
        company: Company,
        state: CallbackState | None,
        before: CallbackId | None,
        limit: int,
    ) -> CallbackPage:
        """Callbacks of a company, newest first."""
        found = await self._store.callbacks.page(company.id, state, before, limit + 1)
        total = await self._store.callbacks.count(company.id, state)
        shown = tuple(found[:limit])
        return CallbackPage(
            callbacks=shown,
            next=shown[-1].id if len(found) > limit else None,
            total=min(total, TOTAL_LIMIT),
            total_is_exact=total <= TOTAL_LIMIT,
        )

    async def resend(self, company: Company, ref: str) -> Callback:
        """Send one again, now, with all its tries before it; raises CallbackNotFound,
        CallbackNotReady while its run has not ended or while it is being sent.
        """
        callback = await self.load(company, ref)
        if not await self._store.callbacks.resend(company.id, [callback], self._clock.now()):
            callback = await self.load(company, ref)
            raise CallbackNotReady(f"callback {ref} is {callback.state}; it is sent by itself")
        self.on_due()
        return await self.load(company, ref)

    async def resend_dead(self, company: Company) -> int:
        """Send all dead ones again; how many."""
        resent = 0
        before: CallbackId | None = None
        while True:
            dead = await self._store.callbacks.page(
                company.id, CallbackState.DEAD, before, RESENT_AT_ONCE
            )
            if not dead:
                return resent
            resent += await self._store.callbacks.resend(company.id, dead, self._clock.now())
            before = dead[-1].id
            self.on_due()

    async def body(self, company: Company, callback: Callback) -> bytes | None:
        """What a callback says when it is sent now; None when its run is not there any more."""
        run = await self._store.runs.find(company.id, callback.run_id)
        values = await self._store.runs.values(company.id, callback.run_id)
        if run is None or values is None:
            return None
        return await self.bodies[callback.dialect](company, run, values)

    # ------------------------------------------------------------ secrets

    async def secrets(self, company: Company) -> CallbackSecrets:
        """What receivers verify a company's callbacks with; raises WrongMasterKey."""
        self._keys.demand_right()
        record = await self._store.callbacks.secret(company.id)
        current, *previous = self._derived(company, record)
        return CallbackSecrets(
            current=secret_text(current),
            previous=secret_text(previous[0]) if previous else None,
            record=record,
        )

    async def rotate(self, company: Company) -> CallbackSecrets:
        """Sign with a new secret from now on, and for a day with the one before as well.

        Raises WrongMasterKey.
        """
        self._keys.demand_right()
        record = await self._store.callbacks.secret(company.id)
        until = self._clock.now() + ROTATION
        await self._store.callbacks.rotate_secret(company.id, record.number, until)
        self._secrets.pop(company.id, None)
        return await self.secrets(company)

    @property
    def may_be_sent(self) -> bool:
        """Whether this server can sign them."""
        return self._keys.are_right

    async def signing(self, company: Company) -> list[bytes]:
        """The secrets that sign now, the current one first."""
        now = self._clock.monotonic()
        known = self._secrets.get(company.id)
        if known is None or now >= known[0]:
            record = await self._store.callbacks.secret(company.id)
            known = self._secrets[company.id] = (now + _SECRET_LIFE, record)
        return self._derived(company, known[1])

    def _derived(self, company: Company, record: CallbackSecret) -> list[bytes]:
        numbers = [record.number]
        if record.previous_until is not None and record.previous_until > self._clock.now():
            numbers.append(record.number - 1)
        return [
            self._keys.derive("callback", company.uuid.bytes, str(number).encode())
            for number in numbers
        ]


def _nobody(runs: Sequence[RunId]) -> None:
    """Before anybody sends."""


def _nothing() -> None:
    """Before anybody sends."""
