"""Servers for the tests of the command line: one per database and test process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runyard.cli import main
from runyard.sdk.client import Client
from tests.support.house import House, running_house

SHOP = Path(__file__).parent / "code" / "shop.py"

Command = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="session")
def sqlite_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("house") / "data"
    with running_house(data, "--allow-outbound", "127.0.0.1") as house:
        yield house


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def any_house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_house")
        return
    database = request.getfixturevalue("postgres_server").create_database()
    data = tmp_path_factory.mktemp("house") / "data"
    with running_house(data, "--database", database) as house:
        yield house


@pytest.fixture(scope="session")
def acme(sqlite_house: House) -> House:
    """A server with company acme, in which the shop is deployed."""
    assert sqlite_house.run("company", "create", "acme").returncode == 0
    deployed = sqlite_house.run("deploy", str(SHOP), "--company", "acme")
    assert deployed.returncode == 0, deployed.stderr
    return sqlite_house


@pytest.fixture
def client(acme: House) -> Iterator[Client]:
    """A client of company acme."""
    with Client(acme.url, acme.token, company="acme") as client:
        yield client


@pytest.fixture
def say(acme: House, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command within this process; its exit code, and what it answered."""

    def run(*words: str, company: str = "acme", as_json: bool = True) -> tuple[int, Any]:
        capfd.readouterr()
        belonging = ["--company", company] if company else []
        json = ["--json"] if as_json else []
        code = main([*words, "--data", str(acme.data), *belonging, *json])
        printed = capfd.readouterr()
        if code and not printed.out:
            return code, printed.err
        return code, msgspec.json.decode(printed.out) if as_json else printed.out

    return run
