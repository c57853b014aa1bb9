"""The audit log: in the order of time, by company, pruned by age."""

from typing import Any

from runyard.model.audit import AuditEntry
from runyard.model.ids import ActorId, AuditEntryId
from runyard.stores.contract.audit import AuditPosition
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


async def test_entries_are_kept_as_they_are_and_told_newest_first(store: Store) -> None:
    nobody = {"actor": None, "succeeded": False, "detail": "unauthenticated"}
    entries = [an_entry(1), an_entry(2, **nobody), an_entry(3, at=later(2))]

    await store.audit.add(entries[:2])
    await store.audit.add(entries[1:])

    assert await store.audit.page(ACME, None, 10) == [entries[2], entries[1], entries[0]]
    assert await store.audit.page(ACME, AuditPosition(later(2), AuditEntryId(3)), 1) == [entries[1]]
    assert await store.audit.page(ACME, AuditPosition(later(1), AuditEntryId(1)), 1) == []
    assert await store.audit.count(ACME) == 3


async def test_companies_and_the_installation_have_logs_of_their_own(store: Store) -> None:
    entries = [an_entry(1), an_entry(2, company_id=GLOBEX), an_entry(3, company_id=None)]

    await store.audit.add(entries)

    for company, entry in zip((ACME, GLOBEX, None), entries, strict=True):
        assert await store.audit.page(company, None, 10) == [entry]
        assert await store.audit.count(company) == 1


async def test_what_is_old_is_pruned_oldest_first(store: Store) -> None:
    await store.audit.add([an_entry(number) for number in range(1, 6)])

    pruned = [await store.audit.prune(later(4), 2) for _ in range(3)]

    assert pruned == [2, 1, 0]
    assert [entry.id for entry in await store.audit.page(ACME, None, 10)] == [5, 4]
