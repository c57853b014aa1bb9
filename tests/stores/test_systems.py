"""Systems: found by what they present, decided about, kept when they are removed."""

import asyncio

import msgspec

from runyard.model.ids import ActorId, SystemId, TokenId
from runyard.model.systems import System, SystemState
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, later

FINANCE, SALES = SystemId(1), SystemId(2)


def a_system(number: int = 1, name: str = "Finance", **changes) -> System:
    system = System(
        id=SystemId(number),
        company_id=ACME,
        name=name,
        description="Books invoices",
        state=SystemState.REQUEST,
        last_characters="7c11",
        sealed=b"sealed",
        files_from=("10.1.0.0/16", "bpm.example.org:8080"),
        created_at=later(number),
        updated_at=later(number),
    )
    return msgspec.structs.replace(system, **changes)


def digest(number: int = 1) -> bytes:
    return bytes([number]) * 32


async def test_a_system_is_found_as_it_was_created(store: Store) -> None:
    system = a_system()

    assert await store.systems.create(system, digest())

    assert await store.systems.find(FINANCE) == system
    assert await store.systems.find_by_digest(digest()) == system
    assert await store.systems.list(ACME) == [system]
    assert await store.systems.find(SALES) is None
    assert await store.systems.find_by_digest(digest(2)) is None
    assert await store.systems.list(GLOBEX) == []


async def test_a_system_may_have_no_hosts(store: Store) -> None:
    await store.systems.create(a_system(files_from=()), digest())

    [system] = await store.systems.list(ACME)

    assert system.files_from == ()


async def test_a_name_is_taken_once_in_a_company(store: Store) -> None:
    await store.systems.create(a_system(), digest())

    assert not await store.systems.create(a_system(2), digest(2))
    assert await store.systems.create(a_system(3, company_id=GLOBEX), digest(3))
    assert await store.systems.create(a_system(4, "Sales"), digest(4))

    assert [system.id for system in await store.systems.list(ACME)] == [4, FINANCE]


async def test_the_name_of_a_removed_system_is_free_again(store: Store) -> None:
    await store.systems.create(a_system(), digest())

    assert await store.systems.remove(FINANCE, later(5))
    assert await store.systems.create(a_system(2), digest(2))

    assert [system.id for system in await store.systems.list(ACME)] == [SALES]


async def test_those_who_wait_are_counted_by_company(store: Store) -> None:
    states = (SystemState.REQUEST, SystemState.REQUEST, SystemState.ALLOWED, SystemState.LOCKED)
    for number, state in enumerate(states, start=1):
        await store.systems.create(a_system(number, f"s{number}", state=state), digest(number))
    await store.systems.create(a_system(9, company_id=GLOBEX), digest(9))
    await store.systems.create(a_system(10, "gone"), digest(10))
    await store.systems.remove(SystemId(10), later(20))

    assert await store.systems.waiting() == {ACME: 2, GLOBEX: 1}


async def test_what_is_decided_about_a_system_stands(store: Store) -> None:
    await store.systems.create(a_system(), digest())

    assert await store.systems.set_state(FINANCE, SystemState.LOCKED, later(9))

    found = await store.systems.find(FINANCE)
    assert found == a_system(state=SystemState.LOCKED, updated_at=later(9))


async def test_who_decided_last_is_kept(store: Store) -> None:
    ann, bob = ActorId(101), ActorId(102)
    by = []

    async def look() -> None:
        found = await store.systems.find(FINANCE)
        assert found is not None
        by.append(found.updated_by)

    await store.systems.create(a_system(updated_by=ann), digest())
    await look()
    await store.systems.set_state(FINANCE, SystemState.ALLOWED, later(9), bob)
    await look()
    await store.systems.change(a_system(name="Accounts", updated_by=ann))
    await look()
    await store.systems.renew(a_system(updated_by=bob), digest(2))
    await look()
    await store.systems.remove(FINANCE, later(10), ann)
    await look()

    assert by == [ann, bob, ann, bob, ann]


async def test_a_changed_system_keeps_its_state_and_its_uuid(store: Store) -> None:
    await store.systems.create(a_system(state=SystemState.ALLOWED), digest())
    changed = a_system(
        name="Accounts", description="", files_from=("host",), updated_at=later(9), sealed=b"other"
    )

    assert await store.systems.change(changed) is True

    found = await store.systems.find_by_digest(digest())
    assert found == msgspec.structs.replace(changed, state=SystemState.ALLOWED, sealed=b"sealed")


async def test_a_name_that_another_system_has_changes_nothing(store: Store) -> None:
    await store.systems.create(a_system(), digest())
    await store.systems.create(a_system(2, "Sales"), digest(2))

    assert await store.systems.change(a_system(name="Sales", description="x")) is None

    assert await store.systems.find(FINANCE) == a_system()


async def test_two_systems_that_take_one_name_at_once_do_not_both_get_it(store: Store) -> None:
    for number, name in enumerate(("Finance", "Sales"), start=1):
        await store.systems.create(a_system(number, name), digest(number))

    answers = await asyncio.gather(
        *(store.systems.change(a_system(number, "Both")) for number in (1, 2))
    )

    assert sorted(answers, key=str) == [None, True]


async def test_a_new_uuid_takes_the_place_of_the_one_before(store: Store) -> None:
    await store.systems.create(a_system(), digest())
    renewed = a_system(last_characters="beef", sealed=b"again", updated_at=later(9))

    assert await store.systems.renew(renewed, digest(7))

    assert await store.systems.find_by_digest(digest()) is None
    assert await store.systems.find_by_digest(digest(7)) == renewed


async def test_a_removed_system_is_unknown_but_not_forgotten(store: Store) -> None:
    await store.systems.create(a_system(), digest())

    assert await store.systems.remove(FINANCE, later(9))

    assert await store.systems.find_by_digest(digest()) is None
    assert await store.systems.list(ACME) == []
    assert await store.systems.find(FINANCE) == a_system(removed_at=later(9))


async def test_nothing_is_done_to_a_system_that_is_gone(store: Store) -> None:
    await store.systems.create(a_system(), digest())
    await store.systems.remove(FINANCE, later(9))

    for gone in (FINANCE, SALES):
        assert not await store.systems.remove(gone, later(10))
        assert not await store.systems.set_state(gone, SystemState.ALLOWED, later(10))
        assert not await store.systems.renew(a_system(gone), digest(3))
        assert await store.systems.change(a_system(gone, "Other")) is False

    assert await store.systems.find(FINANCE) == a_system(removed_at=later(9))


async def test_where_a_system_called_from_last_is_kept(store: Store) -> None:
    for number, name in enumerate(("Finance", "Sales"), start=1):
        await store.systems.create(a_system(number, name), digest(number))

    await store.systems.note([(FINANCE, "192.0.2.1", later(20)), (SALES, "192.0.2.2", later(21))])
    await store.systems.note([(FINANCE, "192.0.2.9", later(19))])  # heard late, elsewhere

    seen = {s.id: (s.address, s.last_seen_at) for s in await store.systems.list(ACME)}
    assert seen == {FINANCE: ("192.0.2.1", later(20)), SALES: ("192.0.2.2", later(21))}


async def test_systems_are_among_the_tokens_of_their_company_but_open_nothing(store: Store) -> None:
    await store.systems.create(a_system(), digest())
    await store.systems.create(a_system(2, "Gone"), digest(2))
    await store.systems.remove(SALES, later(9))

    gone, finance = await store.tokens.list(ACME)

    assert (finance.id, finance.kind, finance.name, finance.last_characters) == (
        1,
        "system",
        "Finance",
        "7c11",
    )
    assert (finance.revoked_at, gone.revoked_at) == (None, later(9))
    assert await store.tokens.list(None) == []
    assert await store.tokens.find_by_digest(digest()) is None
    assert await store.tokens.find(TokenId(1)) is None


async def test_the_digests_are_those_of_systems_that_are_there(store: Store) -> None:
    await store.systems.create(a_system(1), digest(1))
    await store.systems.create(a_system(2, "Sales"), digest(2))
    assert sorted(await store.systems.digests()) == [digest(1), digest(2)]

    await store.systems.remove(FINANCE, later(3), None)

    assert await store.systems.digests() == [digest(2)]
