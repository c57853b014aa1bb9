"""`runyard audit` against a real server, and against one whose database somebody has altered."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import psycopg
import pytest

from tests.cli.conftest import Command
from tests.support.house import House, running_house


def test_a_companys_log_tells_of_its_changes(acme: House, say: Command) -> None:
    say("system", "create", "Audited")

    code, page = say("audit", "list", "--limit", "1")
    _, table = say("audit", "list", as_json=False)
    _, following = say("audit", "list", "--limit", "1", "--after", page["next"] or "")

    assert code == 0
    [entry] = page["items"]
    assert (entry["action"], entry["succeeded"]) == ("create_system", True)
    assert "127.0.0.1" in table
    assert following["items"][0]["id"] != entry["id"]


def test_the_installations_log_tells_of_users_and_companies(say: Command) -> None:
    say("user", "create", "audited@example.com", company="")
    say("company", "create", "audited", company="")

    code, page = say("audit", "list", "--installation", company="")
    _, table = say("audit", "list", "--installation", company="", as_json=False)

    assert code == 0
    assert [entry["action"] for entry in page["items"][:2]] == ["create_company", "create_user"]
    assert "create_company" in table.replace("\n", "")


def test_of_several_companies_one_has_to_be_named(say: Command) -> None:
    say("company", "create", "another", company="")

    code, said = say("audit", "list", company="")

    assert code == 2
    assert "--company" in said


# ---------------------------------------------------------------- the chain


@pytest.fixture(params=["sqlite", "postgres"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[House, str | None]]:
    """A server of the test's own, and its database's address."""
    if request.param == "sqlite":
        with running_house(tmp_path / "data") as house:
            yield house, None
        return
    database = request.getfixturevalue("postgres_server").create_database()
    with running_house(tmp_path / "data", "--database", database) as house:
        yield house, database


def alter(house: House, database: str | None, sql: str) -> None:
    """Do in the database what nobody should."""
    if database is not None:
        with psycopg.connect(database) as connection:
            connection.execute(sql.encode())
        return
    db = apsw.Connection(str(house.data / "runyard.db"))
    db.set_busy_timeout(10_000)
    db.execute(sql)
    db.close()


def test_an_altered_row_is_named(own: tuple[House, str | None]) -> None:
    house, database = own
    for slug in ("one", "two", "three"):
        assert house.run("company", "create", slug).returncode == 0

    whole = house.run("audit", "verify", "--json")
    end = msgspec.json.decode(whole.stdout)["end"]
    told = house.run("audit", "verify", "--noted", end)
    alter(house, database, "UPDATE audit_entries SET actor_name = 'nobody' WHERE place = 2")
    altered = house.run("audit", "verify")
    examined = house.run("doctor")

    assert (whole.returncode, told.returncode) == (0, 0)
    assert "3 entries are what was written" in told.stdout
    assert end in told.stdout
    assert altered.returncode == 1
    assert "Entry 2" in altered.stdout
    assert "not what was written" in altered.stdout
    assert examined.returncode == 1
    assert "audit log" in examined.stdout
