"""Users: the first one, the others, what each may do, and how passwords are chosen."""

import asyncio
from datetime import timedelta

import pytest

from runyard.engine.logins import Origin
from runyard.engine.passwords import LONGEST, SHORTEST
from runyard.engine.users import FIRST_LINK_LASTING
from runyard.model.errors import (
    CompanyNotFound,
    EmailTaken,
    GrantNotFound,
    InputRefused,
    LastAdministrator,
    SetUpAlready,
    SetupLinkNotFound,
    Unauthenticated,
    UserNotFound,
)
from runyard.model.ids import ActorId
from runyard.model.tokens import Role
from runyard.model.users import Display, Grant, User
from tests.support.yard import Yard

GOOD = "correct horse battery"
OTHER = "staple the battery"


async def the_first(yard: Yard, email: str = "ann@example.com") -> User:
    link = await yard.engine.users.first_setup_link()
    return await yard.engine.users.set_up(link.secret, email=email, name="Ann", password=GOOD)


async def test_nobody_is_there_at_first(yard: Yard) -> None:
    assert not await yard.engine.users.is_administered()
    assert await yard.engine.users.list() == []


async def test_the_first_link_makes_an_administrator_of_everything(yard: Yard) -> None:
    user = await the_first(yard, " Ann@Example.com ")

    assert user == await yard.engine.users.load("ann@example.com")
    assert user.role_in(None) is Role.ADMINISTRATOR
    assert user.role_in(yard.company.id) is Role.ADMINISTRATOR
    assert await yard.engine.users.home_company(user) == yard.company


async def test_a_link_works_once(yard: Yard) -> None:
    link = await yard.engine.users.first_setup_link()
    await yard.engine.users.set_up(link.secret, email="a@example.com", name="", password=GOOD)

    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.set_up(link.secret, email="b@example.com", name="", password=GOOD)
    with pytest.raises(SetUpAlready):
        await yard.engine.users.first_setup_link()


async def test_the_first_link_is_good_until_somebody_can_administer(yard: Yard) -> None:
    """A user who was created before must not keep the first administrator out."""
    users = yard.engine.users
    link = await users.first_setup_link()
    await users.create("bob@example.com", password=GOOD)
    everywhere = (Grant(company_id=None, role=Role.ADMINISTRATOR),)
    typo = await users.create("anm@example.com", grants=everywhere)

    with pytest.raises(EmailTaken, match=r"bob@example\.com"):
        await users.set_up(link.secret, email="bob@example.com", name="", password=GOOD)
    await users.disable(typo)
    ann = await users.set_up(link.secret, email="ann@example.com", name="", password=GOOD)

    assert ann.role_in(None) is Role.ADMINISTRATOR
    assert await users.is_administered()


async def test_an_administrator_who_chose_a_password_ends_the_first_links(yard: Yard) -> None:
    users = yard.engine.users
    first = await users.first_setup_link()
    everywhere = (Grant(company_id=None, role=Role.ADMINISTRATOR),)
    ann = await users.create("ann@example.com", grants=everywhere)
    await users.choose_password((await users.setup_link(ann)).secret, GOOD)

    with pytest.raises(SetupLinkNotFound):
        await users.set_up(first.secret, email="mallory@example.com", name="", password=GOOD)
    with pytest.raises(SetUpAlready):
        await users.first_setup_link()


async def test_a_removed_user_is_signed_out_at_once_and_the_email_is_free(yard: Yard) -> None:
    await the_first(yard)
    users, logins = yard.engine.users, yard.engine.logins
    bob = await users.create("bob@example.com", password=GOOD)
    origin = Origin(address="192.0.2.1", browser="")
    login = await logins.sign_in("bob@example.com", GOOD, origin)
    await logins.recognise(login.secret)

    await users.remove(bob)

    with pytest.raises(Unauthenticated):
        await logins.recognise(login.secret)
    with pytest.raises(Unauthenticated):
        await logins.sign_in("bob@example.com", GOOD, origin)
    with pytest.raises(UserNotFound):
        await users.remove(bob)
    assert (await users.create("bob@example.com")).id != bob.id
    assert await yard.engine.actors.name(ActorId(bob.id)) == (
        f"somebody who was removed, id {bob.id}"
    )


async def test_of_two_who_use_the_first_links_at_once_one_is_there(yard: Yard) -> None:
    links = [await yard.engine.users.first_setup_link() for _ in range(2)]

    ended = await asyncio.gather(
        *(
            yard.engine.users.set_up(link.secret, email=f"{n}@example.com", name="", password=GOOD)
            for n, link in enumerate((*links, *links))
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(end, User) for end in ended) == 1
    assert sum(isinstance(end, SetupLinkNotFound) for end in ended) == 3
    assert len(await yard.engine.users.list()) == 1


async def test_a_link_expires(yard: Yard) -> None:
    link = await yard.engine.users.first_setup_link()
    assert (await yard.engine.users.find_link(link.secret))[1] is None

    yard.later(FIRST_LINK_LASTING)

    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.find_link(link.secret)
    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.set_up(link.secret, email="a@example.com", name="", password=GOOD)


async def test_an_unknown_link_is_none(yard: Yard) -> None:
    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.find_link("guessed")


async def test_a_link_of_a_user_sets_the_password_of_that_user_alone(yard: Yard) -> None:
    await the_first(yard)
    bob = await yard.engine.users.create("bob@example.com")
    link = await yard.engine.users.setup_link(bob)
    assert not bob.has_password

    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.set_up(link.secret, email="x@example.com", name="", password=GOOD)
    chosen = await yard.engine.users.choose_password(link.secret, GOOD)

    assert (chosen.id, chosen.has_password) == (bob.id, True)
    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.choose_password(link.secret, OTHER)


async def test_a_refused_password_does_not_spend_the_link(yard: Yard) -> None:
    link = await yard.engine.users.first_setup_link()

    with pytest.raises(InputRefused, match="password"):
        await yard.engine.users.set_up(
            link.secret, email="a@example.com", name="", password="short"
        )

    await yard.engine.users.set_up(link.secret, email="a@example.com", name="", password=GOOD)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "x" * (SHORTEST - 1),
        "xy" * LONGEST,
        "a" * 30,
        "Ann.Author@Example.com",
        "Ann the Author",
    ],
)
async def test_weak_passwords_are_refused_with_the_rule(yard: Yard, password: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        await yard.engine.users.create(
            "ann.author@example.com", name="Ann the Author", password=password
        )

    [problem] = refusal.value.problems
    assert problem.field == "password"
    assert "12 to 256 characters" in problem.allowed
    assert password == "" or password not in problem.seen


@pytest.mark.parametrize(
    "email",
    ["", "ann", "ann@", "@example.com", "a b@example.com", "a@b@c", "<a>@x", "x" * 99 + "@y"],
)
async def test_what_is_no_address_is_refused(yard: Yard, email: str) -> None:
    with pytest.raises(InputRefused, match="email"):
        await yard.engine.users.create(email)


async def test_names_are_refused_unless_they_can_be_shown(yard: Yard) -> None:
    for name in ("x" * 201, "line\nbreak", "\u202eevil"):
        with pytest.raises(InputRefused, match="name"):
            await yard.engine.users.create("ann@example.com", name=name)


async def test_an_email_belongs_to_one_user(yard: Yard) -> None:
    ann = await the_first(yard)
    bob = await yard.engine.users.create("bob@example.com")

    with pytest.raises(EmailTaken):
        await yard.engine.users.create("ANN@example.com")
    with pytest.raises(EmailTaken):
        await yard.engine.users.update(bob, email="ann@example.com")

    assert (await yard.engine.users.update(bob, email="Rob@example.com")).email == "rob@example.com"
    assert await yard.engine.users.load("ann@example.com") == ann


async def test_users_are_found_by_id_and_email(yard: Yard) -> None:
    ann = await the_first(yard)

    assert await yard.engine.users.load(str(ann.id)) == ann
    assert await yard.engine.users.load("Ann@Example.COM") == ann
    for ref in ("bob@example.com", "999999", "ann", "", "-1", "9" * 30):
        with pytest.raises(UserNotFound):
            await yard.engine.users.load(ref)


async def test_roles_are_per_company_or_for_all(yard: Yard) -> None:
    globex = await yard.engine.companies.create("globex")
    bob = await yard.engine.users.create(
        "bob@example.com", grants=(Grant(company_id=globex.id, role=Role.VIEWER),)
    )
    assert (bob.role_in(None), bob.role_in(yard.company.id), bob.role_in(globex.id)) == (
        None,
        None,
        Role.VIEWER,
    )

    bob = await yard.engine.users.grant(bob, yard.company, Role.OPERATOR)
    assert bob.role_in(yard.company.id) is Role.OPERATOR
    assert bob.highest_role is Role.OPERATOR
    bob = await yard.engine.users.grant(bob, None, Role.DEVELOPER)
    assert bob.role_in(globex.id) is Role.DEVELOPER
    bob = await yard.engine.users.withdraw(bob, None)
    bob = await yard.engine.users.withdraw(bob, yard.company)

    assert bob.role_in(yard.company.id) is None
    assert await yard.engine.users.companies_of(bob) == [globex]
    with pytest.raises(GrantNotFound):
        await yard.engine.users.withdraw(bob, yard.company)


async def test_a_home_is_a_company_in_which_the_user_has_a_role(yard: Yard) -> None:
    globex = await yard.engine.companies.create("globex")
    bob = await yard.engine.users.create("bob@example.com")
    assert await yard.engine.users.home_company(bob) is None

    with pytest.raises(CompanyNotFound):
        await yard.engine.users.update(bob, home_company=globex)
    bob = await yard.engine.users.grant(bob, None, Role.VIEWER)
    assert await yard.engine.users.home_company(bob) == yard.company
    bob = await yard.engine.users.update(bob, home_company=globex)

    assert await yard.engine.users.home_company(bob) == globex


async def test_the_last_administrator_stays(yard: Yard) -> None:
    ann = await the_first(yard)
    bob = await yard.engine.users.create("bob@example.com", password=GOOD)
    unable = (Grant(company_id=None, role=Role.ADMINISTRATOR),)
    await yard.engine.users.create("no-password@example.com", grants=unable)

    for attempt in (
        yard.engine.users.disable(ann),
        yard.engine.users.remove(ann),
        yard.engine.users.withdraw(ann, None),
        yard.engine.users.grant(ann, None, Role.VIEWER),
    ):
        with pytest.raises(LastAdministrator):
            await attempt
    await yard.engine.users.grant(bob, None, Role.ADMINISTRATOR)

    assert (await yard.engine.users.disable(ann)).disabled_at == yard.clock.now()
    assert (await yard.engine.users.enable(ann)).disabled_at is None


async def test_a_time_zone_must_be_known(yard: Yard) -> None:
    ann = await the_first(yard)

    with pytest.raises(InputRefused, match="time_zone"):
        await yard.engine.users.update(ann, display=Display(time_zone="Mars/Base"))


async def test_a_link_of_a_disabled_user_is_good_for_nothing(yard: Yard) -> None:
    await the_first(yard)
    bob = await yard.engine.users.create("bob@example.com")
    link = await yard.engine.users.setup_link(bob, timedelta(hours=1))
    await yard.engine.users.disable(bob)

    with pytest.raises(SetupLinkNotFound):
        await yard.engine.users.choose_password(link.secret, GOOD)
