"""What servers that share a database tell each other, as values. Pure.

News are hints about rows that are committed already: ids, never values. They are gathered until the
next telling and merged; what would not fit becomes "look for yourself".
"""

from collections.abc import Iterable, Mapping
from enum import UNIQUE, IntFlag, verify

import msgspec

from runyard.model.ids import CompanyId, GateId, RunId

MOST_IDS = 4_000
"""Ids that wait to be told, at most; beyond that whoever hears looks for himself."""
_BYTES_AN_ID = 20
_BYTES_FOR_THE_REST = 400


@verify(UNIQUE)
class Topic(IntFlag):
    """What may have changed as a whole."""

    HELLO = 1
    """A server begins to listen: whoever is there answers."""
    HERE = 2
    """The answer to it."""
    BYE = 4
    """A server has stopped."""
    DIRECTORY = 8
    """Companies, tasks, versions or gates."""
    TOKENS = 16
    """A token or a login was revoked, or what a user may do has changed."""
    ERRANDS = 32
    """Something is asked of a server, or answered, or given back."""
    WORKERS = 64
    """Something was decided about a worker."""
    ALL = 128
    """More than fits: look at everything."""


class LoggedLines(msgspec.Struct, frozen=True, array_like=True):
    """Lines that a run logged, by their numbers."""

    company_id: CompanyId
    run_id: RunId
    first: int
    last: int


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a run says it is."""

    company_id: CompanyId
    run_id: RunId
    done: float
    total: float | None


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One telling."""

    sender: int = msgspec.field(name="s")
    """The teller's incarnation."""
    topics: int = msgspec.field(name="t", default=0)
    gates: tuple[GateId, ...] = msgspec.field(name="g", default=())
    """Gates at which runs wait that the teller's own workers have no room for."""
    ended: tuple[RunId, ...] = msgspec.field(name="e", default=())
    changed: tuple[tuple[CompanyId, tuple[RunId, ...]], ...] = msgspec.field(name="c", default=())
    """Runs that changed, of companies that others follow."""
    logged: tuple[LoggedLines, ...] = msgspec.field(name="l", default=())
    progress: tuple[Progress, ...] = msgspec.field(name="p", default=())
    follows: tuple[CompanyId, ...] | None = msgspec.field(name="f", default=None)
    """The companies that somebody at the teller follows, when that has changed."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(News).decode


def encode_news(news: News) -> str:
    """As it travels."""
    return _encode(news).decode()


def decode_news(text: str) -> News | None:
    """What was told; None for what another release tells that this one does not understand."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return None


class Gathered:
    """News that wait to be told."""

    def __init__(self, sender: int) -> None:
        self._sender = sender
        self.topics = Topic(0)
        self.follows: tuple[CompanyId, ...] | None = None
        self._gates: dict[GateId, None] = {}
        self._ended: dict[RunId, None] = {}
        self._changed: dict[RunId, CompanyId] = {}
        self._logged: dict[RunId, LoggedLines] = {}
        self._progress: dict[RunId, Progress] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.topics) or self.follows is not None or self._ids() > 0

    def occupied(self, gates: Iterable[GateId]) -> None:
        """Runs wait at these gates."""
        self._gates.update(dict.fromkeys(gates))
        self._bound()

    def ended(self, runs: Iterable[RunId]) -> None:
        """These runs are final."""
        self._ended.update(dict.fromkeys(runs))
        self._bound()

    def changed(self, company: CompanyId, runs: Iterable[RunId]) -> None:
        """These runs of a company that somebody follows have changed."""
        self._changed.update(dict.fromkeys(runs, company))
        self._bound()

    def logged(self, lines: LoggedLines) -> None:
        """A run of a company that somebody follows logged lines."""
        before = self._logged.get(lines.run_id)
        if before is not None:
            lines = msgspec.structs.replace(lines, first=min(before.first, lines.first))
        self._logged[lines.run_id] = lines
        self._bound()

    def progressed(self, progress: Progress) -> None:
        """A run of a company that somebody follows said how far it is."""
        self._progress[progress.run_id] = progress
        self._bound()

    def take(self, most_bytes: int) -> News:
        """As much as fits into one telling; the rest stays."""
        left = (most_bytes - _BYTES_FOR_THE_REST) // _BYTES_AN_ID
        topics, self.topics = self.topics, Topic(0)
        follows, self.follows = self.follows, None
        if follows is not None:
            left -= len(follows)
        parts = []
        for waiting in (self._gates, self._ended):
            parts.append(_first(waiting, left))
            left -= len(parts[-1])
        changed = _first(self._changed, left // 2)
        logged = _first(self._logged, (left - len(changed)) // 10)
        progress = _first(self._progress, (left - len(changed)) // 10)
        return News(
            sender=self._sender,
            topics=int(topics),
            gates=tuple(parts[0]),
            ended=tuple(parts[1]),
            changed=_by_company(changed),
            logged=tuple(logged.values()),
            progress=tuple(progress.values()),
            follows=follows,
        )

    def _ids(self) -> int:
        return (
            len(self._gates)
            + len(self._ended)
            + len(self._changed)
            + len(self._logged)
            + len(self._progress)
        )

    def _bound(self) -> None:
        if self._ids() > MOST_IDS:
            for waiting in (self._gates, self._ended, self._changed, self._logged, self._progress):
                waiting.clear()
            self.topics |= Topic.ALL


def _first(waiting: dict, count: int) -> dict:  # type: ignore[type-arg]
    """Take the first of these out."""
    taken = {}
    for key in list(waiting)[: max(count, 0)]:
        taken[key] = waiting.pop(key)
    return taken


def _by_company(
    runs: Mapping[RunId, CompanyId],
) -> tuple[tuple[CompanyId, tuple[RunId, ...]], ...]:
    companies: dict[CompanyId, list[RunId]] = {}
    for run, company in runs.items():
        companies.setdefault(company, []).append(run)
    return tuple((company, tuple(of)) for company, of in companies.items())
