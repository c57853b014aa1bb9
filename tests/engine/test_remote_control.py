"""Remote control of a company: one token at most, replaced and forbidden at once."""

import asyncio
from datetime import timedelta

import pytest

from runyard.model.errors import RemoteControlDisabled, TokenRevoked, Unauthenticated
from runyard.model.tokens import Role, TokenKind
from tests.support.yard import Yard

SOON = timedelta(seconds=1)


async def test_nobody_controls_a_new_company(yard: Yard) -> None:
    view = await yard.engine.remote_control.view(yard.company)

    assert (view.allowed, view.token) == (False, None)


async def test_allowing_makes_a_token_that_opens(yard: Yard) -> None:
    control = yard.engine.remote_control
    created = await control.allow(yard.company)

    token = await control.authenticate(created.secret)
    view = await control.view(yard.company)

    assert token == created.token
    assert (token.kind, token.role) == (TokenKind.REMOTE_CONTROL, Role.OPERATOR)
    assert token.company_id == yard.company.id
    assert view.allowed
    assert view.token is not None
    assert view.token.id == token.id


async def test_allowing_again_replaces_the_token_at_once(yard: Yard) -> None:
    control = yard.engine.remote_control
    old = await control.allow(yard.company)
    await control.authenticate(old.secret)

    new = await control.allow(yard.company)

    assert await control.authenticate(new.secret) == new.token
    current = (await control.view(yard.company)).token
    assert current is not None
    assert current.id == new.token.id
    with pytest.raises(TokenRevoked):
        await control.authenticate(old.secret)


async def test_only_the_token_that_was_switched_off_is_told_so(yard: Yard) -> None:
    control = yard.engine.remote_control
    old = await control.allow(yard.company)
    yard.clock.advance(SOON)
    new = await control.allow(yard.company)
    yard.clock.advance(SOON)
    await control.forbid(yard.company)

    with pytest.raises(RemoteControlDisabled):
        await control.authenticate(new.secret)
    with pytest.raises(Unauthenticated):
        await control.authenticate(old.secret)
    with pytest.raises(Unauthenticated):
        await control.authenticate("nonsense")
    assert not (await control.view(yard.company)).allowed


async def test_a_switched_off_token_stays_off_when_another_is_made(yard: Yard) -> None:
    control = yard.engine.remote_control
    old = await control.allow(yard.company)
    await control.forbid(yard.company)

    await control.allow(yard.company)

    with pytest.raises(TokenRevoked):
        await control.authenticate(old.secret)


async def test_revoking_the_token_like_any_other_forbids_control(yard: Yard) -> None:
    control = yard.engine.remote_control
    created = await control.allow(yard.company)

    await yard.engine.tokens.revoke(yard.company.id, created.token.id)

    assert not (await control.view(yard.company)).allowed
    with pytest.raises(RemoteControlDisabled):
        await control.authenticate(created.secret)


async def test_a_native_token_that_was_revoked_is_not_a_matter_of_remote_control(
    yard: Yard,
) -> None:
    created = await yard.engine.tokens.create(TokenKind.NATIVE, yard.company, role=Role.OPERATOR)
    await yard.engine.tokens.revoke(yard.company.id, created.token.id)

    with pytest.raises(TokenRevoked):
        await yard.engine.remote_control.authenticate(created.secret)


async def test_of_several_that_allow_at_once_one_token_opens(yard: Yard) -> None:
    control = yard.engine.remote_control

    made = await asyncio.gather(*(control.allow(yard.company) for _ in range(5)))

    view = await control.view(yard.company)
    opened = []
    for created in made:
        try:
            opened.append((await control.authenticate(created.secret)).id)
        except Unauthenticated:
            continue
    assert view.token is not None
    assert opened == [view.token.id]


async def test_control_of_one_company_leaves_others_alone(yard: Yard) -> None:
    other = await yard.engine.companies.create("globex")
    created = await yard.engine.remote_control.allow(other)

    await yard.engine.remote_control.allow(yard.company)
    await yard.engine.remote_control.forbid(yard.company)

    assert (await yard.engine.remote_control.view(other)).token == created.token
