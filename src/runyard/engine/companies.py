"""Companies: made, changed, found."""

import re
import zoneinfo
from datetime import timedelta

import msgspec

from runyard.engine.foundation import Foundation
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused, NameTaken
from runyard.model.ids import CompanyId
from runyard.model.tasks import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
RESERVED_SLUGS = frozenset({"agents", "orchestrator", "tasks", "taskruns", "metrics", "statuses"})
DEFAULT_RETENTION = timedelta(days=30)
LONGEST_RETENTION = timedelta(days=36_525)
DEFAULT_QUEUE_CAP = 1_000_000
LARGEST_QUEUE_CAP = 100_000_000
LARGEST_WEIGHT = 1_000


class Companies:
    """The tenants."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._ids = foundation.ids
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher

    async def load(self, slug: str) -> Company:
        """The company of this slug; raises CompanyNotFound."""
        return await self._directory.company(slug)

    async def load_by_id(self, company: CompanyId) -> Company:
        """The company of this id; raises CompanyNotFound."""
        return await self._directory.company_by_id(company)

    async def list(self) -> list[Company]:
        """All companies by slug."""
        return await self._store.companies.list()

    async def create(  # noqa: PLR0913 - each is one field of the company
        self,
        slug: str,
        *,
        name: str | None = None,
        time_zone: str = "UTC",
        default_priority: int = DEFAULT_PRIORITY,
        retention: timedelta = DEFAULT_RETENTION,
        queue_cap: int = DEFAULT_QUEUE_CAP,
        weight: int = 1,
    ) -> Company:
        """Make a company; raises InputRefused, NameTaken."""
        company = Company(
            id=CompanyId(await self._ids.take()),
            uuid=self._clock.new_uuid(),
            slug=slug,
            name=name or slug,
            time_zone=time_zone,
            runnable=True,
            default_priority=default_priority,
            retention=retention,
            queue_cap=queue_cap,
            weight=weight,
            created_at=self._clock.now(),
        )
        refuse_unfit(company)
        if not await self._store.companies.create(company):
            raise NameTaken(f"there is a company {slug!r} already")
        self._dispatcher.set_weight(company.id, company.weight)
        self._directory.forget()
        return company

    async def update(  # noqa: PLR0913 - each is one field of the company
        self,
        slug: str,
        *,
        name: str | None = None,
        time_zone: str | None = None,
        default_priority: int | None = None,
        retention: timedelta | None = None,
        queue_cap: int | None = None,
        weight: int | None = None,
    ) -> Company:
        """Change what is given; raises CompanyNotFound, InputRefused."""
        old = await self._directory.company(slug)
        given = {
            "name": name,
            "time_zone": time_zone,
            "default_priority": default_priority,
            "retention": retention,
            "queue_cap": queue_cap,
            "weight": weight,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        new = msgspec.structs.replace(old, **changes)
        refuse_unfit(new)
        await self._store.companies.update(new)
        self._directory.forget()
        self._dispatcher.set_weight(new.id, new.weight)
        return await self._directory.company(slug)


def refuse_unfit(company: Company) -> None:
    """Raise InputRefused naming everything that is wrong with these values."""
    problems = [
        FieldProblem(field=field, seen=repr(seen), allowed=allowed)
        for field, seen, allowed, fits in _judged(company)
        if not fits
    ]
    if problems:
        raise InputRefused(problems)


def _judged(company: Company) -> list[tuple[str, object, str, bool]]:
    slug, zone, weight = company.slug, company.time_zone, company.weight
    priority, cap = company.default_priority, company.queue_cap
    range_of_priorities = f"{HIGHEST_PRIORITY} to {LOWEST_PRIORITY}"
    good_slug = SLUG.fullmatch(slug) is not None and slug not in RESERVED_SLUGS
    slugs = "1 to 63 of a-z, 0-9 and inner hyphens, none of the reserved words"
    return [
        ("slug", slug, slugs, good_slug),
        ("name", company.name, "1 to 200 characters", 1 <= len(company.name) <= 200),
        ("time_zone", zone, "an IANA name such as Europe/Prague", is_time_zone(zone)),
        (
            "default_priority",
            priority,
            range_of_priorities,
            HIGHEST_PRIORITY <= priority <= LOWEST_PRIORITY,
        ),
        (
            "retention",
            company.retention,
            "a positive duration of at most a hundred years",
            timedelta() < company.retention <= LONGEST_RETENTION,
        ),
        ("queue_cap", cap, f"1 to {LARGEST_QUEUE_CAP}", 1 <= cap <= LARGEST_QUEUE_CAP),
        ("weight", weight, f"1 to {LARGEST_WEIGHT}", 1 <= weight <= LARGEST_WEIGHT),
    ]


def is_time_zone(name: str) -> bool:
    """Whether this is a time zone that is known here."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
