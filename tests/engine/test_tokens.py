"""Tokens: recognised, expired, revoked, never shown again."""

from datetime import timedelta

import pytest

from runyard.engine.tokens import has_valid_checksum
from runyard.model.errors import TokenNotFound, Unauthenticated
from runyard.model.tokens import Role, TokenKind
from tests.support.yard import Yard


async def a_secret(yard: Yard, lasting: timedelta | None = None) -> str:
    created = await yard.engine.tokens.create(
        TokenKind.NATIVE, yard.company, role=Role.OPERATOR, lasting=lasting
    )
    return created.secret


async def test_a_token_is_recognised_by_its_secret(yard: Yard) -> None:
    secret = await a_secret(yard)

    token = await yard.engine.tokens.authenticate(secret)

    assert (token.company_id, token.role, token.kind) == (
        yard.company.id,
        Role.OPERATOR,
        TokenKind.NATIVE,
    )
    assert secret.startswith("ryd_native_")
    assert token.last_characters == secret[-4:]
    assert has_valid_checksum(secret)


async def test_no_list_shows_a_secret(yard: Yard) -> None:
    secret = await a_secret(yard)

    [listed] = await yard.engine.tokens.list(yard.company)

    assert secret not in repr(listed)


@pytest.mark.parametrize("damage", ["", "cut", "changed", "other"])
async def test_what_is_not_a_token_is_refused(yard: Yard, damage: str) -> None:
    secret = await a_secret(yard)
    middle = "A" if secret[20] != "A" else "B"
    wrong = {
        "": "",
        "cut": secret[:-1],
        "changed": secret[:20] + middle + secret[21:],
        "other": "Basic YWRtaW46YWRtaW4=",
    }[damage]

    with pytest.raises(Unauthenticated):
        await yard.engine.tokens.authenticate(wrong)


async def test_a_token_expires_although_it_was_recognised_before(yard: Yard) -> None:
    secret = await a_secret(yard, lasting=timedelta(hours=1))
    await yard.engine.tokens.authenticate(secret)

    yard.later(timedelta(hours=1))

    assert yard.engine.tokens.recall(secret) is None
    with pytest.raises(Unauthenticated, match="expired"):
        await yard.engine.tokens.authenticate(secret)


async def test_a_revoked_token_is_refused_at_once(yard: Yard) -> None:
    secret = await a_secret(yard)
    token = await yard.engine.tokens.authenticate(secret)

    await yard.engine.tokens.revoke(yard.company.id, token.id)

    assert yard.engine.tokens.recall(secret) is None
    with pytest.raises(Unauthenticated, match="revoked"):
        await yard.engine.tokens.authenticate(secret)


async def test_a_token_revoked_while_it_is_being_recognised_is_not_remembered(yard: Yard) -> None:
    """It was remembered as valid, for as long as the server lived."""
    secret = await a_secret(yard)
    [token] = await yard.engine.tokens.list(yard.company)
    find = yard.store.tokens.find_by_digest

    async def find_and_revoke(digest: bytes) -> object:
        yard.store.tokens.find_by_digest = find  # type: ignore[method-assign]
        found = await find(digest)
        await yard.engine.tokens.revoke(yard.company.id, token.id)
        return found

    yard.store.tokens.find_by_digest = find_and_revoke  # type: ignore[method-assign,assignment]
    with pytest.raises(Unauthenticated, match="revoked"):
        await yard.engine.tokens.authenticate(secret)

    assert yard.engine.tokens.recall(secret) is None


async def test_nobody_revokes_the_token_of_another_company(yard: Yard) -> None:
    secret = await a_secret(yard)
    token = await yard.engine.tokens.authenticate(secret)
    other = await yard.engine.companies.create("other")

    with pytest.raises(TokenNotFound):
        await yard.engine.tokens.revoke(other.id, token.id)

    assert (await yard.engine.tokens.authenticate(secret)).id == token.id


async def test_use_is_noted_now_and_then(yard: Yard) -> None:
    secret = await a_secret(yard)
    await yard.engine.tokens.authenticate(secret)

    await yard.engine.tokens.note_uses()

    [token] = await yard.engine.tokens.list(yard.company)
    assert token.last_used_at == yard.clock.now()


async def test_a_use_is_seen_before_it_is_noted(yard: Yard) -> None:
    """It took five minutes until a token that had just been used looked so."""
    secret = await a_secret(yard)
    await yard.engine.tokens.authenticate(secret)

    [token] = await yard.engine.tokens.list(yard.company)

    assert token.last_used_at == yard.clock.now()
