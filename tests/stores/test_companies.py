"""Companies, and the tokens that programs present."""

from datetime import timedelta

import msgspec

from runyard.model.ids import TokenId
from runyard.model.tokens import Role, Token, TokenKind
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, NOW, World, a_company, later


async def test_a_company_is_found_as_it_was_created(store: Store) -> None:
    company = a_company(retention=timedelta(days=9, microseconds=1), weight=3)

    assert await store.companies.create(company)

    assert await store.companies.find(ACME) == company
    assert await store.companies.find_by_slug("acme") == company
    assert await store.companies.find(GLOBEX) is None
    assert await store.companies.find_by_slug("globex") is None


async def test_a_slug_is_taken_once(store: Store) -> None:
    await store.companies.create(a_company())

    assert not await store.companies.create(a_company(GLOBEX, "acme", name="Other"))

    assert [company.id for company in await store.companies.list()] == [ACME]


async def test_companies_are_listed_by_slug(store: Store) -> None:
    await store.companies.create(a_company(ACME, "zeta"))
    await store.companies.create(a_company(GLOBEX, "alpha"))

    assert [company.slug for company in await store.companies.list()] == ["alpha", "zeta"]


async def test_an_update_changes_what_may_change(store: Store) -> None:
    before = a_company()
    await store.companies.create(before)
    changed = msgspec.structs.replace(
        before,
        name="New",
        time_zone="UTC",
        default_priority=10,
        retention=timedelta(days=1),
        queue_cap=5,
        weight=2,
        slug="ignored",
        created_at=later(9),
        runnable=False,
    )

    assert await store.companies.update(changed)
    assert not await store.companies.update(a_company(GLOBEX, "globex"))

    assert await store.companies.find(ACME) == msgspec.structs.replace(
        changed, slug="acme", created_at=NOW, runnable=True
    )


async def test_the_orchestrator_is_one_switch_for_all_gates(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    gates = [(await world.add_task(name=name)).gate for name in "ab"]
    other = (await world.add_task(GLOBEX)).gate

    assert await world.store.companies.set_runnable(ACME, runnable=False)
    assert not await world.store.companies.set_runnable(77, runnable=False)

    company = await world.store.companies.find(ACME)
    assert company is not None
    assert not company.runnable
    runnable = {gate.id: gate.company_runnable for gate in await world.store.tasks.gates()}
    assert runnable == {gates[0]: False, gates[1]: False, other: True}


# ---------------------------------------------------------------- tokens


def a_token(number: int = 1, **changes) -> Token:
    token = Token(
        id=TokenId(number),
        kind=TokenKind.NATIVE,
        company_id=ACME,
        role=Role.OPERATOR,
        name="ci",
        last_characters="x9Zq",
        created_at=later(number),
        expires_at=later(1000),
        revoked_at=None,
        last_used_at=None,
    )
    return msgspec.structs.replace(token, **changes)


async def test_a_token_is_found_by_its_digest(store: Store) -> None:
    token, of_installation = a_token(1), a_token(2, company_id=None, expires_at=None)
    await store.tokens.create(token, b"1" * 32)
    await store.tokens.create(of_installation, b"2" * 32)

    assert await store.tokens.find_by_digest(b"1" * 32) == token
    assert await store.tokens.find_by_digest(b"2" * 32) == of_installation
    assert await store.tokens.find_by_digest(b"3" * 32) is None


async def test_tokens_are_listed_newest_first_per_company(store: Store) -> None:
    for number, company in ((1, ACME), (2, ACME), (3, GLOBEX), (4, None)):
        await store.tokens.create(a_token(number, company_id=company), bytes([number]) * 32)

    assert [token.id for token in await store.tokens.list(ACME)] == [2, 1]
    assert [token.id for token in await store.tokens.list(GLOBEX)] == [3]
    assert [token.id for token in await store.tokens.list(None)] == [4]


async def test_a_revoked_token_keeps_its_first_instant(store: Store) -> None:
    await store.tokens.create(a_token(), b"1" * 32)

    assert await store.tokens.revoke(ACME, TokenId(1), later(5))
    assert await store.tokens.revoke(ACME, TokenId(1), later(9))

    found = await store.tokens.find_by_digest(b"1" * 32)
    assert found is not None
    assert found.revoked_at == later(5)


async def test_a_token_is_not_revoked_through_another_company(store: Store) -> None:
    await store.tokens.create(a_token(), b"1" * 32)
    await store.tokens.create(a_token(2, company_id=None), b"2" * 32)

    assert not await store.tokens.revoke(GLOBEX, TokenId(1), NOW)
    assert not await store.tokens.revoke(None, TokenId(1), NOW)
    assert not await store.tokens.revoke(ACME, TokenId(2), NOW)
    assert not await store.tokens.revoke(ACME, TokenId(99), NOW)
    assert await store.tokens.revoke(None, TokenId(2), NOW)


async def test_uses_of_a_token_are_noted_once_a_minute(store: Store) -> None:
    await store.tokens.create(a_token(), b"1" * 32)

    async def last_use():
        found = await store.tokens.find_by_digest(b"1" * 32)
        assert found is not None
        return found.last_used_at

    await store.tokens.note_use([(TokenId(1), later(0))])
    assert await last_use() == later(0)
    await store.tokens.note_use([(TokenId(1), later(59))])
    assert await last_use() == later(0)
    await store.tokens.note_use([(TokenId(1), later(60)), (TokenId(9), later(60))])
    assert await last_use() == later(60)
