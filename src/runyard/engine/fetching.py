"""Fetching input files: each through the guarded client into the blob store, with a few tries."""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from urllib.parse import unquote
from weakref import WeakValueDictionary

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.files import DEFAULT_CONTENT_TYPE, Files
from runyard.engine.logbook import Logbook
from runyard.model.errors import AddressRefused, OutboundFailed, RunyardError, TooLarge
from runyard.model.files import FileAddress, FileReference, StoredFile
from runyard.model.logs import LogLevel
from runyard.model.runs import Run
from runyard.outbound.addresses import Allowances, WebAddress, read_address
from runyard.outbound.base import Outbound, OutboundLimits, OutboundRequest, OutboundStream

TRIES = 3
PAUSES = (timedelta(seconds=1), timedelta(seconds=5))
AT_ONCE = 48
AT_ONCE_OF_A_HOST = 16
FILE_LIMIT = 1024**3
REDIRECTS = 5
LONGEST = timedelta(hours=1)
LEAST_PACE = 1024
"""Bytes a second."""
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which another try may help."""
_NAME = re.compile(r"""filename="((?:[^"\\]|\\.)*)"|filename=([^;"\s]+)""", re.I)
_ENCODED_NAME = re.compile(r"filename\*=utf-8''([^;\s]+)", re.I)


class FetchFailed(RunyardError):
    """An input file could not be fetched."""


class FetchRefused(FetchFailed):
    """An input file is at an address that may not be visited."""


class FileOwner(msgspec.Struct, frozen=True, kw_only=True):
    """A run whose files are fetched."""

    run: Run
    allowed: tuple[str, ...]
    """What its addresses may visit beside what the operator allows everybody."""
    speaks: Callable[[int], bool]
    """Whether the log tells of the file that made so many."""


class Fetching:
    """Fetches files of runs."""

    def __init__(self, clock: Clock, files: Files, outbound: Outbound, logbook: Logbook) -> None:
        self._clock = clock
        self._files = files
        self._outbound = outbound
        self._logbook = logbook
        self.limit = FILE_LIMIT
        """Most bytes of a file."""
        self._all = asyncio.Semaphore(AT_ONCE)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def all(
        self, owner: FileOwner, addresses: Mapping[int, FileAddress]
    ) -> dict[int, FileReference]:
        """All these files, by their places; raises FetchFailed as soon as one cannot be had."""
        fetched: dict[int, FileReference] = {}

        async def fetch(place: int, address: FileAddress) -> None:
            file = await self._fetch(owner, place, address)
            fetched[place] = file.reference()
            if owner.speaks(len(fetched)):
                size = f"{file.size:,} bytes"
                told = f"{address.path}: fetched {file.name} ({size}); {len(fetched)} of {len(addresses)}"
                await self._note(owner, LogLevel.INFO, told)

        try:
            async with asyncio.TaskGroup() as group:
                for place, address in addresses.items():
                    group.create_task(fetch(place, address))
        except ExceptionGroup as failures:
            raise _first(failures) from None
        return fetched

    async def _fetch(self, owner: FileOwner, place: int, address: FileAddress) -> StoredFile:
        """The file, after three tries at most."""
        for tried in range(1, TRIES + 1):
            try:
                return await self._tried(owner, place, address)
            except (OutboundFailed, OSError) as failure:
                detail = failure.detail if isinstance(failure, OutboundFailed) else str(failure)
                if tried == TRIES:
                    told = f"{address.path}: {detail} (tried {TRIES} times)"
                    raise FetchFailed(told) from None
                pause = PAUSES[tried - 1]
                told = f"{address.path}: {detail}; tried again in {pause.total_seconds():g} s"
                await self._note(owner, LogLevel.WARNING, told)
                await self._clock.wait(asyncio.Event(), pause)
        raise AssertionError("unreachable")

    async def _tried(self, owner: FileOwner, place: int, address: FileAddress) -> StoredFile:
        try:
            web = read_address(address.url)
            request = OutboundRequest(
                address=web,
                limits=OutboundLimits(
                    total=LONGEST, size=self.limit, pace=LEAST_PACE, redirects=REDIRECTS
                ),
                allowed=Allowances.read(owner.allowed),
            )
            host = self._hosts.setdefault(web.shown, asyncio.Semaphore(AT_ONCE_OF_A_HOST))
            async with host, self._all, self._outbound.stream(request) as answer:
                return await self._kept(owner, place, address, answer)
        except AddressRefused as refusal:
            raise FetchRefused(f"{address.path}: {refusal.detail}") from None
        except TooLarge as refusal:
            raise FetchFailed(f"{address.path}: {refusal.detail}") from None

    async def _kept(
        self, owner: FileOwner, place: int, address: FileAddress, answer: OutboundStream
    ) -> StoredFile:
        code = answer.status_code
        if code in _PASSING:
            raise OutboundFailed(f"{answer.address.shown} answers {code}")
        if code != 200:
            raise FetchFailed(f"{address.path}: {answer.address.shown} answers {code}")
        announced = answer.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self.limit:
            told = f"{int(announced):,} bytes; at most {self.limit:,}"
            raise FetchFailed(f"{address.path}: {answer.address.shown} has {told}")
        return await self._files.keep(
            owner.run.company_id,
            address.name or _name(answer.headers, answer.address),
            address.content_type or answer.headers.get("content-type", DEFAULT_CONTENT_TYPE),
            answer.parts(),
            limit=self.limit,
            run=owner.run.id,
            place=place,
        )

    async def _note(self, owner: FileOwner, level: LogLevel, text: str) -> None:
        await self._logbook.note(owner.run.company_id, owner.run.id, level, text)


def _name(headers: Mapping[str, str], address: WebAddress) -> str:
    """What the file is called: by its sender, else by the end of its address."""
    said = headers.get("content-disposition", "")
    if encoded := _ENCODED_NAME.search(said):
        return unquote(encoded[1])
    if plain := _NAME.search(said):
        return re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
    return unquote(PurePosixPath(address.target.partition("?")[0]).name) or "file"


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to tell of: why a file could not be had, rather than what that led to."""
    found: list[BaseException] = []
    waiting = [*failures.exceptions]
    while waiting:
        failure = waiting.pop(0)
        if isinstance(failure, BaseExceptionGroup):
            waiting.extend(failure.exceptions)
        else:
            found.append(failure)
    return next((f for f in found if isinstance(f, FetchFailed)), found[0])
