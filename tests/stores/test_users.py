"""Users, their roles, their one-time links and their logins."""

import asyncio
from datetime import timedelta

import msgspec

from runyard.model.credentials import ApiKey, Ticket
from runyard.model.ids import ApiKeyId, LoginId, TicketId, UserId
from runyard.model.tokens import Role
from runyard.model.users import ClockStyle, DateStyle, Display, Grant, Login, SetupLink, User
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, NOW, later
from tests.stores.places import Place

ANN = UserId(1)
LINK = b"l" * 32


def a_user(number: int = 1, email: str = "ann@example.com", **changes) -> User:
    user = User(
        id=UserId(number),
        email=email,
        name="Ann",
        home_company_id=None,
        grants=(),
        display=Display(),
        has_password=False,
        created_at=later(number),
        disabled_at=None,
    )
    return msgspec.structs.replace(user, **changes)


def a_login(number: int = 1, user: UserId = ANN, **changes) -> Login:
    login = Login(
        id=LoginId(number),
        user_id=user,
        created_at=later(number),
        last_used_at=later(number),
        expires_at=later(1000),
        revoked_at=None,
        address="192.0.2.1",
        browser="Browser 1.0",
    )
    return msgspec.structs.replace(login, **changes)


def an_api_key(number: int, user: UserId) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(number),
        user_id=user,
        name="",
        last_characters="abcd",
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )


def a_ticket(number: int, user: UserId) -> Ticket:
    return Ticket(
        id=TicketId(number),
        user_id=user,
        company_id=ACME,
        api_key_id=ApiKeyId(number),
        is_multiple=True,
        created_at=NOW,
        expires_at=later(1000),
    )


def a_link(user: UserId | None = None, seconds: int = 100) -> SetupLink:
    return SetupLink(user_id=user, created_at=NOW, expires_at=later(seconds))


async def test_a_user_is_found_as_it_was_created(store: Store) -> None:
    user = a_user(
        home_company_id=ACME,
        grants=(
            Grant(company_id=None, role=Role.VIEWER),
            Grant(company_id=ACME, role=Role.OPERATOR),
        ),
        display=Display(
            date_style=DateStyle.DAY_FIRST, clock_style=ClockStyle.HOURS_12, time_zone="Asia/Tokyo"
        ),
        has_password=True,
    )

    assert await store.users.create(user, "hash")

    assert await store.users.find(ANN) == user
    assert await store.users.find_by_email("ann@example.com") == user
    assert await store.users.list() == [user]
    assert await store.users.password_hash(ANN) == "hash"
    assert await store.users.find(UserId(9)) is None
    assert await store.users.find_by_email("bob@example.com") is None
    assert await store.users.password_hash(UserId(9)) is None


async def test_an_email_is_taken_once(store: Store) -> None:
    await store.users.create(a_user(), None)
    await store.users.create(a_user(2, "bob@example.com"), None)

    grants = (Grant(company_id=None, role=Role.ADMINISTRATOR),)
    assert not await store.users.create(a_user(3, grants=grants), None)
    assert not await store.users.update(a_user(2, "ann@example.com"))
    assert await store.users.update(a_user(2, "rob@example.com"))

    assert [user.email for user in await store.users.list()] == [
        "ann@example.com",
        "rob@example.com",
    ]
    assert await store.users.find(UserId(3)) is None


async def test_an_update_leaves_password_and_roles(store: Store) -> None:
    grants = (Grant(company_id=ACME, role=Role.OPERATOR),)
    await store.users.create(a_user(grants=grants), "hash")
    display = Display(time_zone="Europe/Prague")

    await store.users.update(a_user(name="Anna", home_company_id=ACME, display=display))

    found = await store.users.find(ANN)
    assert found == a_user(
        name="Anna", home_company_id=ACME, display=display, grants=grants, has_password=True
    )


async def test_a_user_has_one_role_in_a_place(store: Store) -> None:
    await store.users.create(a_user(), None)

    await store.users.grant(ANN, ACME, Role.VIEWER)
    await store.users.grant(ANN, ACME, Role.OPERATOR)
    await store.users.grant(ANN, None, Role.VIEWER)
    await store.users.grant(ANN, None, Role.ADMINISTRATOR)
    await store.users.grant(ANN, GLOBEX, Role.DEVELOPER)
    assert await store.users.withdraw(ANN, GLOBEX)
    assert not await store.users.withdraw(ANN, GLOBEX)

    found = await store.users.find(ANN)
    assert found is not None
    assert found.grants == (
        Grant(company_id=None, role=Role.ADMINISTRATOR),
        Grant(company_id=ACME, role=Role.OPERATOR),
    )


async def test_a_set_up_link_makes_one_first_user(store: Store) -> None:
    await store.users.keep_link(a_link(), LINK)
    await store.users.keep_link(a_link(), b"m" * 32)
    admin = (Grant(company_id=None, role=Role.ADMINISTRATOR),)

    made = await asyncio.gather(
        *(
            store.users.create_first(
                a_user(number, f"user{number}@example.com", grants=admin), "hash", digest, NOW
            )
            for number, digest in ((1, LINK), (2, b"m" * 32), (3, LINK), (4, b"x" * 32))
        )
    )

    assert sum(made) == 1
    [user] = await store.users.list()
    assert user.grants == admin
    assert await store.users.find_link(LINK) is None
    assert await store.users.find_link(b"m" * 32) is None


EVERYWHERE = (Grant(company_id=None, role=Role.ADMINISTRATOR),)


async def test_a_first_administrator_is_refused_when_there_is_one(store: Store) -> None:
    await store.users.create(a_user(grants=EVERYWHERE), "hash")
    await store.users.keep_link(a_link(), LINK)

    assert await store.users.is_administered()
    assert not await store.users.create_first(a_user(2, "b@example.com"), "hash", LINK, NOW)

    assert [user.id for user in await store.users.list()] == [ANN]


async def test_who_cannot_administer_everything_keeps_no_first_administrator_out(
    store: Store,
) -> None:
    in_a_company = (
        Grant(company_id=None, role=Role.DEVELOPER),
        Grant(company_id=ACME, role=Role.ADMINISTRATOR),
    )
    await store.users.create(a_user(grants=EVERYWHERE), None)
    await store.users.create(a_user(2, "b@example.com", grants=in_a_company), "hash")
    await store.users.create(a_user(3, "c@example.com", grants=EVERYWHERE), "hash")
    await store.users.disable(UserId(3), NOW)
    await store.users.keep_link(a_link(), LINK)

    assert not await store.users.is_administered()
    assert not await store.users.create_first(a_user(4), "hash", LINK, NOW), "the email is taken"
    await store.users.keep_link(a_link(), b"m" * 32)
    first = a_user(5, "e@example.com", grants=EVERYWHERE)
    assert await store.users.create_first(first, "hash", b"m" * 32, NOW)
    assert await store.users.is_administered()


async def test_a_removed_user_leaves_nothing_that_lets_in(store: Store) -> None:
    bob = UserId(2)
    for number, email in ((1, "ann@example.com"), (2, "bob@example.com")):
        await store.users.create(a_user(number, email, grants=EVERYWHERE), "hash")
        await store.logins.create(a_login(number, UserId(number)), bytes([number]) * 32)
        await store.users.keep_link(a_link(UserId(number)), bytes([10 + number]) * 32)
        await store.api_keys.create(an_api_key(number, UserId(number)), bytes([number]) * 32)
        await store.tickets.create(a_ticket(number, UserId(number)), 8)

    assert await store.users.remove(ANN)
    assert not await store.users.remove(ANN)

    assert [user.id for user in await store.users.list()] == [bob]
    assert await store.users.find_link(bytes([11]) * 32) is None
    assert await store.users.find_link(bytes([12]) * 32) is not None
    assert await store.logins.find_by_digest(bytes([1]) * 32) is None
    assert await store.api_keys.find_by_digest(bytes([1]) * 32) is None
    assert await store.tickets.find(TicketId(1)) is None
    assert await store.logins.find_by_digest(bytes([2]) * 32) is not None
    assert await store.api_keys.find_by_digest(bytes([2]) * 32) is not None
    assert await store.tickets.find(TicketId(2)) is not None
    assert await store.users.create(a_user(3), None), "the email is free again"
    assert (await store.users.find(UserId(3))) == a_user(3)


async def test_an_expired_link_is_good_for_nothing_and_goes(store: Store) -> None:
    await store.users.create(a_user(), None)
    await store.users.keep_link(a_link(ANN, seconds=10), LINK)

    assert not await store.users.set_password_by_link(ANN, "hash", LINK, later(10))
    assert await store.users.find_link(LINK) == a_link(ANN, seconds=10)
    newer = SetupLink(user_id=ANN, created_at=later(10), expires_at=later(20))
    await store.users.keep_link(newer, b"n" * 32)

    assert await store.users.find_link(LINK) is None
    assert await store.users.find_link(b"n" * 32) == newer


async def test_a_users_link_works_once_and_takes_its_siblings_along(store: Store) -> None:
    await store.users.create(a_user(), None)
    await store.users.create(a_user(2, "bob@example.com"), None)
    await store.users.keep_link(a_link(ANN), LINK)
    await store.users.keep_link(a_link(ANN), b"m" * 32)
    await store.users.keep_link(a_link(UserId(2)), b"b" * 32)
    await store.logins.create(a_login(), b"1" * 32)

    assert await store.users.set_password_by_link(ANN, "hash", LINK, later(5))
    assert not await store.users.set_password_by_link(ANN, "other", LINK, later(5))
    assert not await store.users.set_password_by_link(ANN, "other", b"m" * 32, later(5))

    assert await store.users.password_hash(ANN) == "hash"
    assert await store.users.find_link(b"b" * 32) == a_link(UserId(2))
    assert await store.logins.list(ANN, later(5)) == []


async def test_another_password_ends_every_login_but_the_kept_one(store: Store) -> None:
    await store.users.create(a_user(), "hash")
    await store.users.create(a_user(2, "bob@example.com"), "hash")
    for number, user in ((1, ANN), (2, ANN), (3, UserId(2))):
        await store.logins.create(a_login(number, user), bytes([number]) * 32)

    assert await store.users.set_password(ANN, "other", later(9), kept=LoginId(2))
    assert not await store.users.set_password(UserId(7), "other", later(9))

    assert await store.users.password_hash(ANN) == "other"
    assert [login.id for login in await store.logins.list(ANN, later(9))] == [2]
    assert [login.id for login in await store.logins.list(UserId(2), later(9))] == [3]


async def test_a_hash_is_refreshed_unless_the_password_changed_meanwhile(store: Store) -> None:
    await store.users.create(a_user(), "old")

    await store.users.refresh_password_hash(ANN, "wrong", "other")
    assert await store.users.password_hash(ANN) == "old"
    await store.users.refresh_password_hash(ANN, "new", "old")

    assert await store.users.password_hash(ANN) == "new"


async def test_who_is_disabled_has_no_logins(store: Store) -> None:
    await store.users.create(a_user(), "hash")
    await store.logins.create(a_login(), b"1" * 32)

    assert await store.users.disable(ANN, later(3))
    assert not await store.users.disable(UserId(7), later(3))

    found = await store.users.find(ANN)
    assert found is not None
    assert found.disabled_at == later(3)
    assert await store.logins.list(ANN, later(3)) == []
    assert await store.users.enable(ANN)
    assert (await store.users.find(ANN)) == a_user(has_password=True)


# ---------------------------------------------------------------- logins


async def test_a_login_is_found_by_its_digest(store: Store) -> None:
    await store.logins.create(a_login(), b"1" * 32)

    assert await store.logins.find_by_digest(b"1" * 32) == a_login()
    assert await store.logins.find_by_digest(b"2" * 32) is None


async def test_logins_are_revoked_by_their_user_alone(store: Store) -> None:
    await store.logins.create(a_login(), b"1" * 32)

    assert not await store.logins.revoke(UserId(2), LoginId(1), later(3))
    assert await store.logins.revoke(ANN, LoginId(1), later(3))
    assert await store.logins.revoke(ANN, LoginId(1), later(9))

    found = await store.logins.find_by_digest(b"1" * 32)
    assert found is not None
    assert found.revoked_at == later(3)


async def test_a_new_login_sweeps_the_ended_ones_of_its_user(store: Store) -> None:
    await store.logins.create(a_login(1, expires_at=later(5)), b"1" * 32)
    await store.logins.create(a_login(2), b"2" * 32)
    await store.logins.create(a_login(3), b"3" * 32)
    await store.logins.create(a_login(4, UserId(2), expires_at=later(5)), b"4" * 32)
    await store.logins.revoke(ANN, LoginId(2), later(3))

    await store.logins.create(a_login(6), b"6" * 32)

    kept = [
        number
        for number in range(1, 7)
        if await store.logins.find_by_digest(bytes([48 + number]) * 32)
    ]
    assert kept == [3, 4, 6]
    assert [login.id for login in await store.logins.list(ANN, later(6))] == [6, 3]


async def test_uses_of_a_login_are_noted_once_a_minute(store: Store) -> None:
    await store.logins.create(a_login(0), b"1" * 32)

    for seconds, seen in ((30, 0), (60, 60), (90, 60)):
        await store.logins.note_use([(LoginId(0), later(seconds)), (LoginId(9), later(seconds))])
        found = await store.logins.find_by_digest(b"1" * 32)
        assert found is not None
        assert found.last_used_at == later(seen)


async def test_all_logins_of_a_user_are_revoked_at_once(store: Store) -> None:
    for number in (1, 2, 3):
        await store.logins.create(a_login(number), bytes([number]) * 32)

    await store.logins.revoke_all(ANN, later(5), LoginId(2))
    assert [login.id for login in await store.logins.list(ANN, later(5))] == [2]
    await store.logins.revoke_all(ANN, later(6))

    assert await store.logins.list(ANN, later(6)) == []


async def test_no_table_holds_a_secret(store: Store, place: Place) -> None:
    """What a dump shows of a login or a link is a digest."""
    await store.logins.create(a_login(expires_at=NOW + timedelta(days=1)), b"1" * 32)

    [[digest]] = place.execute("SELECT digest FROM logins")

    assert bytes(digest) == b"1" * 32
