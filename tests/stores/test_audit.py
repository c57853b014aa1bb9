"""The audit log: read in the order of time, by company; one chain, cut at its beginning."""

import asyncio
from typing import Any

from runyard.model.audit import AuditEntry
from runyard.model.ids import ActorId, AuditEntryId
from runyard.stores.contract.audit import AuditPosition, ChainEnd, Cut, LinkedEntry
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, later


def an_entry(number: int, **changes: Any) -> AuditEntry:
    entry: dict[str, Any] = {
        "id": AuditEntryId(number),
        "company_id": ACME,
        "at": later(number),
        "actor": ActorId(7),
        "actor_name": "ann@example.com",
        "action": "createAllocation",
        "subject": "Bots/Zip code",
        "succeeded": True,
        "detail": "",
        "source": "PUT /orchestrator/v1/hotbot/config/create",
        "address": "10.1.0.7",
    }
    return AuditEntry(**{**entry, **changes})


def linked(*entries: AuditEntry, after: int = 0) -> list[LinkedEntry]:
    return [
        LinkedEntry(entry=entry, place=place, is_sealed=True, link=b"link %d" % place)
        for place, entry in enumerate(entries, start=after + 1)
    ]


async def test_entries_are_kept_as_they_are_and_told_newest_first(store: Store) -> None:
    nobody = {"actor": None, "succeeded": False, "detail": "unauthenticated"}
    entries = [an_entry(1), an_entry(2, **nobody), an_entry(3, at=later(2))]

    await store.audit.extend(linked(*entries[:2]))
    await store.audit.extend(linked(entries[2], after=2))

    assert await store.audit.page(ACME, None, 10) == [entries[2], entries[1], entries[0]]
    assert await store.audit.page(ACME, AuditPosition(later(2), AuditEntryId(3)), 1) == [entries[1]]
    assert await store.audit.page(ACME, AuditPosition(later(1), AuditEntryId(1)), 1) == []
    assert await store.audit.count(ACME) == 3


async def test_companies_and_the_installation_have_logs_of_their_own(store: Store) -> None:
    entries = [an_entry(1), an_entry(2, company_id=GLOBEX), an_entry(3, company_id=None)]

    await store.audit.extend(linked(*entries))

    for company, entry in zip((ACME, GLOBEX, None), entries, strict=True):
        assert await store.audit.page(company, None, 10) == [entry]
        assert await store.audit.count(company) == 1


async def test_the_chain_is_extended_at_its_end_alone(store: Store) -> None:
    first = linked(an_entry(1), an_entry(2))

    begun = await store.audit.extend(first)
    late = await store.audit.extend(linked(an_entry(3)))
    gap = await store.audit.extend(linked(an_entry(4), after=3))
    following = await store.audit.extend(linked(an_entry(5), after=2))

    assert (begun, late, gap, following) == (True, False, False, True)
    assert await store.audit.ends() == (Cut(), ChainEnd(3, b"link 3"))
    assert await store.audit.chain(0, 10) == [*first, *linked(an_entry(5), after=2)]
    assert await store.audit.chain(1, 1) == [first[1]]


async def test_of_those_who_extend_it_at_once_one_succeeds(store: Store) -> None:
    tries = [store.audit.extend(linked(an_entry(number))) for number in range(1, 9)]

    assert sorted(await asyncio.gather(*tries)) == [False] * 7 + [True]
    assert await store.audit.count(ACME) == 1


async def test_the_beginning_is_cut_off_once(store: Store) -> None:
    entries = linked(*(an_entry(number) for number in range(1, 6)))
    await store.audit.extend(entries)
    cut = Cut(end=ChainEnd(3, b"link 3"), seal=b"by us")

    done = [await store.audit.cut(0, cut) for _ in range(2)]

    assert done == [True, False]
    assert await store.audit.ends() == (cut, ChainEnd(5, b"link 5"))
    assert await store.audit.chain(0, 10) == entries[3:]
    assert [entry.id for entry in await store.audit.page(ACME, None, 10)] == [5, 4]
