"""The master key: made once, kept, shared, and refused when it is none."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runyard.server.master_key import read_master_key
from runyard.server.settings import SettingsRefused
from tests.support.server import running_server


def test_the_first_start_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    key = read_master_key(path)

    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_master_key(path) == key
    assert list(tmp_path.iterdir()) == [path]


def test_servers_that_start_at_once_agree_on_a_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(read_master_key, [path] * 8))

    assert len(keys) == 1


@pytest.mark.parametrize("text", ["", "short", "g" * 64, "0" * 65])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)

    with pytest.raises(SettingsRefused, match="64 hexadecimal digits"):
        read_master_key(path)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_key_that_everybody_on_the_machine_may_touch_is_refused(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "master.key"
    read_master_key(path)
    path.chmod(mode)

    with pytest.raises(SettingsRefused, match=rf"mode {mode:04o}.*chmod o="):
        read_master_key(path)


def test_a_group_may_share_a_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = read_master_key(path)
    path.chmod(0o640)

    assert read_master_key(path) == key


async def test_a_server_with_another_key_serves_all_but_secrets(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        company = await server.engine.companies.create("acme")
        first = await server.engine.callbacks.secrets(company)
        assert (await server.engine.doctor.examine()).checks
    other = tmp_path / "other.key"
    other.write_text("0" * 64)
    other.chmod(0o600)

    async with running_server(tmp_path, master_key=other) as server:
        found = {check.name: check for check in (await server.engine.doctor.examine()).checks}
    async with running_server(tmp_path) as server:
        again = await server.engine.callbacks.secrets(company)

    assert not found["master key"].ok
    assert "sends no callbacks" in found["master key"].detail
    assert again.current == first.current
