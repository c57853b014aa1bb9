"""`runyard system` against a real server."""

import re

from runyard.sdk.client import Client
from tests.cli.conftest import Command

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_a_system_is_made_and_its_uuid_printed_alone(say: Command) -> None:
    code, uuid = say("system", "create", "Finance", "--description", "Books", as_json=False)
    _, [listed] = say("system", "list", "--search", "finance")
    _, table = say("system", "list", as_json=False)

    assert code == 0
    assert UUID.fullmatch(uuid.strip())
    assert listed["last_characters"] == uuid.strip()[-4:]
    assert (listed["state"], listed["description"]) == ("request", "Books")
    assert "Finance" in table
    assert uuid.strip() not in table


def test_a_token_of_that_kind_is_a_system_too(say: Command) -> None:
    code, uuid = say("token", "create", "system", "--name", "By token", as_json=False)
    _, system = say("system", "show", "By token")
    _, tokens = say("token", "list")

    assert code == 0
    assert UUID.fullmatch(uuid.strip())
    assert system["last_characters"] == uuid.strip()[-4:]
    [token] = [token for token in tokens if token["id"] == system["id"]]
    assert (token["kind"], token["name"]) == ("system", "By token")


def test_a_system_is_allowed_locked_renewed_and_removed(say: Command) -> None:
    _, created = say("system", "create", "Sales", "--allowed")
    _, locked = say("system", "lock", "Sales")
    _, told = say("system", "allow", str(created["id"]), as_json=False)
    _, renewed = say("system", "renew", "Sales", as_json=False)
    code, removed = say("system", "remove", "Sales")
    gone, said = say("system", "show", "Sales")

    assert (created["state"], locked["state"]) == ("allowed", "locked")
    assert told == "System Sales is allowed.\n"
    assert UUID.fullmatch(renewed.strip())
    assert renewed.strip() != created["uuid"]
    assert (code, removed) == (0, {"system": "Sales", "removed": True})
    assert gone != 0
    assert "there is no system Sales" in said


def test_hosts_are_opened_and_closed(say: Command) -> None:
    opening = ("--files-from", "10.1.0.0/16", "--files-from", "bpm.example.org:8080")
    _, created = say("system", "create", "Purchasing", *opening)
    _, page = say("system", "show", "Purchasing", as_json=False)
    _, fewer = say("system", "change", "Purchasing", "--files-from", "10.2.0.0/16")
    _, none = say("system", "change", "Purchasing", "--no-files-from", "--name", "Buying")

    assert created["files_from"] == ["10.1.0.0/16", "bpm.example.org:8080"]
    assert "10.1.0.0/16, bpm.example.org:8080" in page
    assert fewer["files_from"] == ["10.2.0.0/16"]
    assert (none["files_from"], none["name"]) == ([], "Buying")


def test_what_does_not_fit_is_named(say: Command) -> None:
    say("system", "create", "Twice")

    twice, taken = say("system", "create", "Twice")
    wrong, hosts = say("system", "create", "Wrong", "--files-from", "http://host/")
    nothing, change = say("system", "change", "Twice")
    both, choice = say("system", "change", "Twice", "--files-from", "host", "--no-files-from")

    assert (twice, nothing, both) == (6, 2, 2)
    assert wrong != 0
    assert "Twice" in taken
    assert "files_from[0]" in hosts
    assert "--name" in change
    assert "Choose one" in choice


def test_the_client_offers_the_same(client: Client) -> None:
    created = client.create_system("Programs", description="d", allowed=True)

    assert client.system(created.id) == client.system("Programs")
    assert [s.name for s in client.systems(search="programs")] == ["Programs"]
    assert client.lock_system("Programs").state == "locked"
    assert client.allow_system("Programs").state == "allowed"
    assert client.renew_system("Programs").uuid != created.uuid
    assert client.change_system("Programs", description="").description == ""
    client.remove_system("Programs")
    assert client.systems(search="programs") == ()
