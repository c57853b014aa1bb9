"""Tickets, call tokens, API keys and signing keys: let in, ended, refreshed, on every server."""

import base64
import json
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.engine.logins import Origin
from runyard.engine.tickets import DEFAULT_CALL_LIFE, DEFAULT_TICKET_LIFE, NewTicket
from runyard.model.errors import (
    ApiKeyNotFound,
    Forbidden,
    InputRefused,
    TooManyLogins,
    Unauthenticated,
)
from runyard.model.ids import ApiKeyId, TaskId
from runyard.model.tokens import Role
from runyard.model.users import Grant, User
from runyard.stores.postgres.store import open_postgres
from tests.support.yard import Yard, opened_yard

GOOD = "correct horse battery"
OTHER = "staple the battery"
HOME = Origin(address="192.0.2.1")
ANN = "ann@example.com"


async def a_user(yard: Yard, email: str = ANN, role: Role = Role.DEVELOPER) -> User:
    grants = (Grant(company_id=yard.company.id, role=role),)
    return await yard.engine.users.create(email, grants=grants, password=GOOD)


async def logged_in(yard: Yard, *, is_multiple: bool = False) -> NewTicket:
    return await yard.engine.tickets.log_in(ANN, GOOD, HOME, is_multiple=is_multiple)


async def refusal(yard: Yard, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await yard.engine.tickets.authenticate(token)
    return refused.value.detail


def claims_of(token: str) -> dict:
    head, payload, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "RS512"
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


async def test_a_ticket_says_what_is_documented(yard: Yard) -> None:
    ann = await a_user(yard)

    new = await logged_in(yard)

    claims = claims_of(new.token)
    assert claims["sub"] == str(ann.id)
    assert claims["tenantUuid"] == str(yard.company.uuid)
    assert claims["clientType"] == "WEB"
    assert claims["licenses"] == []
    assert claims["analyticsLicensesPurchased"] == {}
    assert claims["exp"] - claims["iat"] == DEFAULT_TICKET_LIFE.total_seconds() == 1200
    assert claims["iss"]
    assert isinstance(claims["nanoTime"], int)
    assert int(claims["csrfToken"], 16)
    guest = await yard.engine.tickets.authenticate(new.token)
    assert (guest.user, guest.company.id) == (ann, yard.company.id)
    assert yard.engine.tickets.recall(new.token) is guest


async def test_a_call_token_names_its_task(yard: Yard) -> None:
    await a_user(yard)
    new = await logged_in(yard)

    token = await yard.engine.tickets.call_token(new.guest.user, new.guest.company, TaskId(2689))

    claims = claims_of(token)
    assert claims["botId"] == 2689
    assert claims["multipleLogin"] is True
    assert claims["exp"] - claims["iat"] == DEFAULT_CALL_LIFE.total_seconds()
    guest = await yard.engine.tickets.authenticate(token)
    assert (guest.task_id, guest.ticket) == (2689, None)
    with pytest.raises(Unauthenticated, match="access details"):
        await yard.engine.tickets.refresh(token)
    with pytest.raises(Unauthenticated, match="expires by itself"):
        await yard.engine.tickets.log_out(token)


async def test_tokens_expire(yard: Yard) -> None:
    await a_user(yard)
    new = await logged_in(yard)
    token = await yard.engine.tickets.call_token(new.guest.user, new.guest.company, TaskId(1))
    assert await yard.engine.tickets.is_valid(token)

    yard.later(DEFAULT_CALL_LIFE)
    assert "expired" in await refusal(yard, token)
    assert await yard.engine.tickets.is_valid(new.token)

    yard.later(DEFAULT_TICKET_LIFE - DEFAULT_CALL_LIFE)
    assert "expired" in await refusal(yard, new.token)
    with pytest.raises(Unauthenticated, match="expired"):
        await yard.engine.tickets.refresh(new.token)


async def test_a_refresh_ends_the_old_one_and_works_once(yard: Yard) -> None:
    await a_user(yard)
    old = await logged_in(yard)

    new = await yard.engine.tickets.refresh(old.token)

    assert await yard.engine.tickets.is_valid(new.token)
    assert "refreshed" in await refusal(yard, old.token)
    with pytest.raises(Unauthenticated, match="refreshed"):
        await yard.engine.tickets.refresh(old.token)


async def test_logging_out_ends_the_ticket_at_once(yard: Yard) -> None:
    await a_user(yard)
    new = await logged_in(yard)
    await yard.engine.tickets.authenticate(new.token)

    await yard.engine.tickets.log_out(new.token)

    assert yard.engine.tickets.recall(new.token) is None
    assert "logged out" in await refusal(yard, new.token)


async def test_a_plain_login_ends_the_one_before_and_leaves_the_others(yard: Yard) -> None:
    await a_user(yard)
    several = await logged_in(yard, is_multiple=True)
    plain = await logged_in(yard)
    call = await yard.engine.tickets.call_token(plain.guest.user, plain.guest.company, TaskId(1))

    again = await logged_in(yard)

    assert "multipleLogin" in await refusal(yard, plain.token)
    for token in (several.token, again.token, call):
        assert await yard.engine.tickets.is_valid(token)


async def test_the_sixth_session_ends_the_oldest(yard: Yard) -> None:
    await a_user(yard)

    tokens = [(await logged_in(yard, is_multiple=True)).token for _ in range(6)]

    assert "more places" in await refusal(yard, tokens[0])
    for token in tokens[1:]:
        assert await yard.engine.tickets.is_valid(token)


async def test_whatever_is_wrong_with_a_login_answers_alike(yard: Yard) -> None:
    await a_user(yard)
    details = set()
    for name, password in (
        (ANN, OTHER),
        ("nobody@example.com", GOOD),
        (f"nowhere\\{ANN}", GOOD),
        (ANN, ""),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await yard.engine.tickets.log_in(name, password, HOME)
        details.add(refused.value.detail)
    with pytest.raises(Unauthenticated) as refused:
        await yard.engine.tickets.log_in_with_key(ANN, "ryd_apikey_wrong", HOME)
    details.add(refused.value.detail)

    assert len(details) == 1


async def test_guessing_is_slowed_with_passwords_and_keys(yard: Yard) -> None:
    await a_user(yard)

    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await yard.engine.tickets.log_in_with_key(ANN, "guess", HOME)

    with pytest.raises(TooManyLogins):
        await yard.engine.tickets.log_in(ANN, GOOD, HOME)
    with pytest.raises(TooManyLogins):
        await yard.engine.tickets.log_in_with_key(ANN, "guess", HOME)


async def test_another_company_is_named_before_the_user(yard: Yard) -> None:
    user = await a_user(yard)
    other = await yard.engine.companies.create("zeta")
    await yard.engine.users.grant(user, other, Role.VIEWER)

    home = await logged_in(yard)
    there = await yard.engine.tickets.log_in(f"zeta\\{ANN}", GOOD, HOME)

    assert home.guest.company.id == yard.company.id
    assert claims_of(there.token)["tenantUuid"] == str(other.uuid)


async def test_a_user_without_a_company_is_told_so(yard: Yard) -> None:
    await yard.engine.users.create(ANN, password=GOOD)

    with pytest.raises(Forbidden, match="no role"):
        await logged_in(yard)


async def test_an_api_key_logs_in_until_it_is_revoked(yard: Yard) -> None:
    user = await a_user(yard)
    new = await yard.engine.api_keys.create(user, name="tickets")
    plain = await logged_in(yard)

    with_key = await yard.engine.tickets.log_in_with_key(ANN.upper(), new.secret, HOME)

    assert await yard.engine.tickets.is_valid(plain.token)
    assert claims_of(with_key.token)["multipleLogin"] is True
    [listed] = await yard.engine.api_keys.list(user)
    assert (listed.name, listed.last_characters) == ("tickets", new.secret[-4:])
    assert listed.last_used_at == yard.clock.now()
    assert new.secret not in repr(listed)

    await yard.engine.api_keys.revoke(user.id, new.key.id)

    assert "revoked" in await refusal(yard, with_key.token)
    assert await yard.engine.tickets.is_valid(plain.token)
    with pytest.raises(Unauthenticated):
        await yard.engine.tickets.log_in_with_key(ANN, new.secret, HOME)
    with pytest.raises(ApiKeyNotFound):
        await yard.engine.api_keys.revoke(user.id, ApiKeyId(999))


async def test_an_api_key_is_its_users_alone_and_may_expire(yard: Yard) -> None:
    user = await a_user(yard)
    await a_user(yard, "bob@example.com")
    new = await yard.engine.api_keys.create(user, lasting=timedelta(days=1))

    with pytest.raises(Unauthenticated):
        await yard.engine.tickets.log_in_with_key("bob@example.com", new.secret, HOME)
    await yard.engine.tickets.log_in_with_key(ANN, new.secret, HOME)
    yard.later(timedelta(days=1))
    with pytest.raises(Unauthenticated):
        await yard.engine.tickets.log_in_with_key(ANN, new.secret, HOME)
    with pytest.raises(InputRefused):
        await yard.engine.api_keys.create(user, name="\n")


@pytest.mark.parametrize("what", ["password", "disabled", "signed out", "role"])
async def test_what_ends_a_users_logins_ends_tickets(yard: Yard, what: str) -> None:
    user = await a_user(yard)
    new = await logged_in(yard)
    call = await yard.engine.tickets.call_token(new.guest.user, new.guest.company, TaskId(1))
    assert await yard.engine.tickets.is_valid(call)
    users = yard.engine.users

    match what:
        case "password":
            await users.set_password(user, OTHER)
        case "disabled":
            await users.disable(user)
        case "signed out":
            await yard.engine.logins.sign_out_everywhere(user.id)
        case _:
            await users.withdraw(user, yard.company)

    assert not await yard.engine.tickets.is_valid(new.token)
    assert await yard.engine.tickets.is_valid(call) is (what in {"password", "signed out"})


async def test_a_role_counts_as_it_is_now(yard: Yard) -> None:
    user = await a_user(yard)
    new = await logged_in(yard)

    await yard.engine.users.grant(user, yard.company, Role.VIEWER)

    guest = await yard.engine.tickets.authenticate(new.token)
    assert guest.user.role_in(yard.company.id) is Role.VIEWER


@pytest.mark.parametrize(
    "token",
    ["", "a.b", "a.b.c", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "ä.b.c", "...."],
)
async def test_what_is_no_token_is_refused(yard: Yard, token: str) -> None:
    await refusal(yard, token)


async def test_a_changed_token_is_refused(yard: Yard) -> None:
    await a_user(yard)
    token = (await logged_in(yard)).token
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "1"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    assert "signature" in await refusal(yard, f"{head}.{forged}.{signature}")
    none = base64.urlsafe_b64encode(
        json.dumps({**json.loads(base64.urlsafe_b64decode(head + "==")), "alg": "none"}).encode()
    )
    await refusal(yard, f"{none.decode().rstrip('=')}.{payload}.")


async def test_rotated_keys_verify_what_they_signed_until_it_expires(yard: Yard) -> None:
    await a_user(yard)
    old = await logged_in(yard, is_multiple=True)
    [before] = await yard.engine.signing.list()
    yard.later(timedelta(seconds=1))

    key = await yard.engine.signing.rotate()

    new = await logged_in(yard, is_multiple=True)
    assert await yard.engine.tickets.is_valid(old.token)
    assert await yard.engine.tickets.is_valid(new.token)
    assert [k.id for k in await yard.engine.signing.list()] == [key.id, before.id]

    await yard.engine.signing.rotate(discard=True)

    assert not await yard.engine.tickets.is_valid(old.token)
    assert not await yard.engine.tickets.is_valid(new.token)


async def test_servers_of_one_database_accept_each_others_tokens(
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
        new = await logged_in(one)
        assert await two.engine.tickets.is_valid(new.token)

        await one.engine.tickets.log_out(new.token)
        two.clock.advance(timedelta(seconds=1))

        assert not await two.engine.tickets.is_valid(new.token)
