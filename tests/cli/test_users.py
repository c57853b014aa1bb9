"""`runyard user` against a real server."""

import itertools

from tests.cli.conftest import Command
from tests.support.house import House

GOOD = "correct horse battery\n"
_numbers = itertools.count(1)


def an_email() -> str:
    return f"user{next(_numbers)}@example.com"


def test_a_user_is_created_with_a_link(say: Command) -> None:
    email = an_email()
    code, user = say("user", "create", email, "--role", "operator", "--company", "acme", company="")

    _, shown = say("user", "show", email, company="", as_json=False)
    _, listed = say("user", "list", company="", as_json=False)

    assert code == 0
    assert "/console/set-up/" in user["setup_link"]["url"]
    assert "operator (acme)" in shown
    assert "no, has no password yet" in shown
    assert email in listed


def test_the_link_stands_alone_on_its_line(say: Command) -> None:
    _, printed = say("user", "create", an_email(), company="", as_json=False)

    assert printed.splitlines()[-1].startswith("http")


def test_roles_are_given_and_taken(say: Command) -> None:
    email = an_email()
    say("user", "create", email, company="")

    _, given = say("user", "role", email, "developer", company="")
    _, narrowed = say("user", "role", email, "viewer", "--company", "acme", company="")
    _, taken = say("user", "role", email, "none", company="")
    code, said = say("user", "role", email, "none", company="")

    assert given["roles"] == [{"company": None, "role": "developer"}]
    assert len(narrowed["roles"]) == 2
    assert taken["roles"] == [{"company": "acme", "role": "viewer"}]
    assert code == 5
    assert "has no role" in said


def test_a_password_comes_from_standard_input(acme: House, say: Command) -> None:
    email = an_email()
    say("user", "create", email, company="")

    done = acme.run("user", "set-password", email, "--password-stdin", stdin=GOOD)
    weak = acme.run("user", "set-password", email, "--password-stdin", stdin="short\n")
    none = acme.run("user", "set-password", email, "--password-stdin", stdin="")
    no_terminal = acme.run("user", "set-password", email, stdin=GOOD)

    assert done.returncode == 0, done.stderr
    assert weak.returncode == 4
    assert "password" in weak.stderr
    assert "short" not in weak.stderr
    assert none.returncode == 2
    assert no_terminal.returncode == 2
    assert "--password-stdin" in no_terminal.stderr
    assert say("user", "show", email, company="")[1]["has_password"] is True


def test_a_user_is_disabled_enabled_and_signed_out(say: Command) -> None:
    email = an_email()
    say("user", "create", email, company="")

    _, disabled = say("user", "disable", email, company="")
    _, enabled = say("user", "enable", email, company="")
    code, out = say("user", "sign-out", email, company="")

    assert disabled["disabled_at"] is not None
    assert enabled["disabled_at"] is None
    assert (code, out["signed_out"]) == (0, True)


def test_a_user_is_removed(say: Command) -> None:
    email = an_email()
    say("user", "create", email, company="")

    code, out = say("user", "remove", email, company="")
    shown, _ = say("user", "show", email, company="")

    assert (code, out) == (0, {"user": email, "removed": True})
    assert shown == 5


def test_an_unknown_user_is_said_to_be_unknown(say: Command) -> None:
    code, said = say("user", "show", "nobody@example.com", company="")

    assert code == 5
    assert "nobody@example.com" in said


def test_an_api_key_is_printed_alone_listed_and_revoked(say: Command) -> None:
    email = an_email()
    say("user", "create", email, company="")

    _, printed = say("user", "api-key", "create", email, "--name", "x", company="", as_json=False)
    _, timed = say("user", "api-key", "create", email, "--lasting", "90d", company="")
    _, listed = say("user", "api-key", "list", email, company="")
    _, shown = say("user", "api-key", "list", email, company="", as_json=False)
    code, _ = say("user", "api-key", "revoke", email, str(timed["id"]), company="")
    unknown, said = say("user", "api-key", "revoke", email, "999999", company="")

    assert printed.strip().startswith("ryd_apikey_")
    assert timed["expires_at"] is not None
    assert [key["name"] for key in listed] == ["", "x"]
    assert "for ever" in shown
    assert code == 0
    assert unknown == 5
    assert "no API key" in said


def test_signing_keys_are_rotated(say: Command) -> None:
    _, key = say("token", "rotate-keys", company="")
    _, said = say("token", "rotate-keys", "--discard", company="", as_json=False)

    assert key["retired_at"] is None
    assert "signs from now on" in said
    assert "void" in said
