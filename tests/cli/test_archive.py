"""What is packed for a deploy."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from runyard.model.errors import Refused
from runyard.sdk.client import pack


def a_project(folder: Path) -> Path:
    for name in (
        "tasks.py",
        "data/zips.csv",
        "package/__init__.py",
        ".git/config",
        ".venv/lib/x.py",
        "other-env/pyvenv.cfg",
        "other-env/lib/x.py",
        "__pycache__/tasks.cpython-311.pyc",
        "node_modules/x/index.js",
        "old.pyc",
        "project.egg-info/PKG-INFO",
        ".env",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_a_folder_is_packed_without_what_tools_leave_in_it(tmp_path: Path) -> None:
    archive = pack(a_project(tmp_path / "shop"))

    assert archive.name == "shop"
    assert archive.files == ("data/zips.csv", "package/__init__.py", "tasks.py")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as packed:
        assert packed.namelist() == list(archive.files)
        assert packed.read("data/zips.csv") == b"data/zips.csv"


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = a_project(tmp_path / "one"), a_project(tmp_path / "other")
    os.utime(other / "tasks.py", (1_700_000_000, 1_700_000_000))
    (other / "tasks.py").chmod(0o755)

    assert pack(one).content == pack(other).content


def test_a_file_is_packed_alone(tmp_path: Path) -> None:
    folder = a_project(tmp_path / "shop")

    archive = pack(folder / "tasks.py")

    assert archive.name == "tasks"
    assert archive.files == ("tasks.py",)


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = a_project(tmp_path / "shop")
    (tmp_path / "secret").write_text("not yours")
    (folder / "innocent.txt").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)

    assert pack(folder).files == ("data/zips.csv", "package/__init__.py", "tasks.py")


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_nothing_to_pack_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Refused, match=name):
        pack(tmp_path / name)
