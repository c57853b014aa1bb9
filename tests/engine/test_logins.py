"""Logins: let in, slowed down, idle, expired, revoked on every server."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import argon2
import pytest

from runyard.engine.logins import DEFAULT_IDLE, DEFAULT_LASTING, NewLogin, Origin
from runyard.engine.passwords import Passwords
from runyard.model.errors import TooManyLogins, Unauthenticated
from runyard.model.tokens import Role
from runyard.model.users import Grant, User
from runyard.stores.postgres.store import open_postgres
from tests.support.pair import PATIENCE, opened_pair
from tests.support.yard import Yard, opened_yard

GOOD = "correct horse battery"
OTHER = "staple the battery"
HOME = Origin(address="192.0.2.1", browser="Browser 1.0")
ELSEWHERE = Origin(address="198.51.100.7")
ADMIN = (Grant(company_id=None, role=Role.ADMINISTRATOR),)


async def a_user(yard: Yard, email: str = "ann@example.com") -> User:
    return await yard.engine.users.create(email, grants=ADMIN, password=GOOD)


async def signed_in(yard: Yard, origin: Origin = HOME) -> NewLogin:
    return await yard.engine.logins.sign_in("ann@example.com", GOOD, origin)


async def is_out(yard: Yard, secret: str) -> bool:
    try:
        await yard.engine.logins.recognise(secret)
    except Unauthenticated:
        return True
    return False


async def test_the_right_password_lets_in(yard: Yard) -> None:
    ann = await a_user(yard)

    new = await yard.engine.logins.sign_in(" Ann@example.com", GOOD, HOME)

    visit = await yard.engine.logins.recognise(new.secret)
    assert visit.user == ann
    assert visit.login.address == "192.0.2.1"
    assert visit.login.expires_at == yard.clock.now() + DEFAULT_LASTING
    assert len(new.secret) >= 43


async def test_every_login_has_a_secret_of_its_own(yard: Yard) -> None:
    await a_user(yard)

    logins = [await signed_in(yard) for _ in range(3)]

    assert len({login.secret for login in logins}) == 3
    listed = repr(await yard.engine.logins.list(logins[0].visit.user.id))
    assert not any(login.secret in listed for login in logins)


async def test_wrong_and_unknown_are_answered_alike(yard: Yard) -> None:
    await a_user(yard)
    await yard.engine.users.create("no-password@example.com")
    off = await yard.engine.users.create("off@example.com", password=GOOD)
    await yard.engine.users.disable(off)
    said = set()

    for email, password in (
        ("ann@example.com", OTHER),
        ("nobody@example.com", GOOD),
        ("no-password@example.com", GOOD),
        ("off@example.com", GOOD),
        ("not an email", GOOD),
    ):
        with pytest.raises(Unauthenticated) as refusal:
            await yard.engine.logins.sign_in(email, password, HOME)
        said.add(refusal.value.detail)

    assert said == {"email or password is wrong"}


async def test_an_unknown_user_costs_a_hash_as_well(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the answer tells nothing: each takes one verification, at the same cost."""
    await a_user(yard)
    await yard.engine.users.create("no-password@example.com")
    passwords = yard.engine._passwords
    verify, costs = passwords._verify, []

    def observed(password_hash: str, password: str) -> bool:
        costs.append(argon2.extract_parameters(password_hash))
        return verify(password_hash, password)

    monkeypatch.setattr(passwords, "_verify", observed)
    for email in ("ann@example.com", "nobody@example.com", "no-password@example.com", "no email"):
        with pytest.raises(Unauthenticated):
            await yard.engine.logins.sign_in(email, OTHER, HOME)

    assert len(costs) == 4
    assert set(map(repr, costs)) == {repr(costs[0])}


async def test_guesses_are_slowed_down(yard: Yard) -> None:
    await a_user(yard)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await yard.engine.logins.sign_in("ann@example.com", OTHER, HOME)

    with pytest.raises(TooManyLogins) as refusal:
        await signed_in(yard)
    assert timedelta() < refusal.value.retry_after <= timedelta(seconds=30)

    assert (await signed_in(yard, ELSEWHERE)).secret  # the user comes from elsewhere
    yard.later(refusal.value.retry_after)
    assert (await signed_in(yard)).secret


async def test_right_answers_are_not_counted(yard: Yard) -> None:
    await a_user(yard)

    for _ in range(8):
        await signed_in(yard)


async def test_an_idle_login_is_over(yard: Yard) -> None:
    await a_user(yard)
    new = await signed_in(yard)

    yard.later(DEFAULT_IDLE - timedelta(seconds=1))
    await yard.engine.logins.recognise(new.secret)
    yard.engine.logins.note_use(new.secret)
    yard.later(DEFAULT_IDLE - timedelta(seconds=1))
    await yard.engine.logins.recognise(new.secret)  # looking alone is no use
    yard.later(timedelta(seconds=1))

    assert await is_out(yard, new.secret)
    assert await yard.engine.logins.list(new.visit.user.id) == []


async def test_use_is_remembered_by_the_database(yard: Yard) -> None:
    await a_user(yard)
    new = await signed_in(yard)
    yard.later(timedelta(hours=1))
    await yard.engine.logins.recognise(new.secret)
    yard.engine.logins.note_use(new.secret)

    await yard.engine.logins.note_uses()

    [login] = await yard.engine.logins.list(new.visit.user.id)
    assert login.last_used_at == yard.clock.now()


async def test_a_login_is_over_at_its_last_moment_however_busy(yard: Yard) -> None:
    await a_user(yard)
    new = await signed_in(yard)

    for _ in range(DEFAULT_LASTING // timedelta(hours=10)):
        yard.later(timedelta(hours=10))
        await yard.engine.logins.recognise(new.secret)
        yard.engine.logins.note_use(new.secret)
    yard.later(DEFAULT_LASTING % timedelta(hours=10))

    assert await is_out(yard, new.secret)


async def test_signing_out_ends_one_login(yard: Yard) -> None:
    await a_user(yard)
    here, there = await signed_in(yard), await signed_in(yard, ELSEWHERE)

    await yard.engine.logins.sign_out(here.visit)

    assert await is_out(yard, here.secret)
    assert not await is_out(yard, there.secret)


async def test_signing_out_everywhere_ends_all(yard: Yard) -> None:
    await a_user(yard)
    logins = [await signed_in(yard), await signed_in(yard, ELSEWHERE)]
    for login in logins:
        await yard.engine.logins.recognise(login.secret)

    await yard.engine.logins.sign_out_everywhere(logins[0].visit.user.id)

    assert [await is_out(yard, login.secret) for login in logins] == [True, True]


async def test_a_new_password_ends_the_other_logins(yard: Yard) -> None:
    ann = await a_user(yard)
    here, there = await signed_in(yard), await signed_in(yard, ELSEWHERE)

    await yard.engine.users.set_password(ann, OTHER, kept=here.visit.login.id)

    assert not await is_out(yard, here.secret)
    assert await is_out(yard, there.secret)
    with pytest.raises(Unauthenticated):
        await signed_in(yard)
    await yard.engine.logins.sign_in("ann@example.com", OTHER, HOME)


async def test_a_disabled_user_is_out_at_once(yard: Yard) -> None:
    await a_user(yard)
    bob = await yard.engine.users.create("bob@example.com", password=GOOD)
    new = await yard.engine.logins.sign_in("bob@example.com", GOOD, HOME)

    await yard.engine.users.disable(bob)

    assert await is_out(yard, new.secret)


async def test_a_changed_role_holds_at_once(yard: Yard) -> None:
    ann = await a_user(yard)
    await yard.engine.users.create("bob@example.com", grants=ADMIN, password=GOOD)
    new = await signed_in(yard)
    await yard.engine.logins.recognise(new.secret)

    await yard.engine.users.grant(ann, None, Role.VIEWER)

    visit = await yard.engine.logins.recognise(new.secret)
    assert visit.user.role_in(None) is Role.VIEWER


async def test_the_own_password_confirms(yard: Yard) -> None:
    await a_user(yard)
    visit = (await signed_in(yard)).visit

    await yard.engine.logins.confirm(visit, GOOD)
    with pytest.raises(Unauthenticated):
        await yard.engine.logins.confirm(visit, OTHER)
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            await yard.engine.logins.confirm(visit, OTHER)
    with pytest.raises(TooManyLogins):
        await yard.engine.logins.confirm(visit, GOOD)


async def test_a_password_hashed_at_another_cost_is_hashed_anew(yard: Yard) -> None:
    ann = await a_user(yard)
    cheap = await Passwords(memory=1024, passes=1).hash(GOOD)
    await yard.store.users.set_password(ann.id, cheap, yard.clock.now())

    await signed_in(yard)

    renewed = await yard.store.users.password_hash(ann.id)
    assert renewed != cheap
    assert renewed is not None
    assert renewed.startswith("$argon2id$")
    await signed_in(yard)


async def test_what_one_server_revokes_another_refuses_within_a_second(
    postgres_dsn: str, memory_path: Path
) -> None:
    async with AsyncExitStack() as opened:
        yards = []
        for name in ("one", "two"):
            store = await open_postgres(postgres_dsn, memory_path / name)
            opened.push_async_callback(store.close)
            yards.append(await opened.enter_async_context(opened_yard(store, server=name)))
        one, two = yards
        await a_user(one)
        new = await signed_in(one)
        assert (await two.engine.logins.recognise(new.secret)).user.email == "ann@example.com"

        await one.engine.logins.sign_out(new.visit)
        two.clock.advance(timedelta(seconds=1))

        assert await is_out(two, new.secret)


async def test_servers_tell_each_other_who_was_signed_out(
    postgres_dsn: str, memory_path: Path
) -> None:
    """The clock stands still, so that neither looks of its own accord."""
    async with opened_pair(postgres_dsn, memory_path) as pair:
        ann = await a_user(pair.here)
        bob = await pair.here.engine.users.create("bob@example.com", grants=ADMIN, password=GOOD)
        logins = [await pair.here.engine.logins.open(user, HOME) for user in (ann, bob)]
        for login in logins:
            assert not await is_out(pair.there, login.secret)

        await pair.here.engine.logins.sign_out(logins[0].visit)
        await pair.here.engine.users.disable(bob)

        async with asyncio.timeout(PATIENCE):
            for login in logins:
                while not await is_out(pair.there, login.secret):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # noqa: TID251 - news travel in real time
