"""Front-end files: taken from pinned packages, or not at all."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.assets import (
    LOCK,
    PLACES,
    AssetsRefused,
    Package,
    fetched_by_npm,
    is_complete,
    locked,
    replace,
)

FILES = {"package/dist/widget.min.js": b"widget()", "package/LICENSE": b"Do as you like."}


def an_archive(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


ARCHIVE = an_archive(FILES)


def a_package(archive: bytes = ARCHIVE, **changed: object) -> Package:
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    given: dict[str, object] = {
        "name": "widget",
        "version": "1.0.0",
        "integrity": f"sha512-{digest}",
        "files": {"widget.js": "dist/widget.min.js", "widget-LICENSE.txt": "LICENSE"},
        **changed,
    }
    return Package(**given)  # type: ignore[arg-type]


def published(package: Package) -> bytes:
    return ARCHIVE


def test_the_files_that_are_named_are_taken(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"

    replace(folder, [a_package()], published)

    assert (folder / "widget.js").read_bytes() == b"widget()"
    assert (folder / "widget-LICENSE.txt").read_bytes() == b"Do as you like."
    assert is_complete([a_package()], folder)
    assert [path.name for path in tmp_path.iterdir()] == ["vendor"]


def test_a_package_with_other_bytes_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    replace(folder, [a_package()], published)
    tampered = an_archive({**FILES, "package/dist/widget.min.js": b"steal()"})

    with pytest.raises(AssetsRefused) as refused:
        replace(folder, [a_package()], lambda package: tampered)

    assert "widget@1.0.0 is not what assets.lock pins" in str(refused.value)
    assert a_package().integrity in str(refused.value)
    assert a_package(tampered).integrity in str(refused.value)
    assert (folder / "widget.js").read_bytes() == b"widget()"


def test_a_file_that_the_package_lacks_is_named(tmp_path: Path) -> None:
    package = a_package(files={"widget.css": "dist/widget.css"})

    with pytest.raises(AssetsRefused, match=r"widget@1\.0\.0 has no file dist/widget\.css"):
        replace(tmp_path / "vendor", [package], published)


def test_nothing_is_complete_that_is_damaged_missing_or_of_another_lock(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    assert not is_complete([a_package()], folder)

    replace(folder, [a_package()], published)
    assert not is_complete([a_package(version="1.0.1")], folder)
    assert not is_complete([a_package(files={"other.js": "dist/widget.min.js"})], folder)

    (folder / "widget.js").write_bytes(b"steal()")
    assert not is_complete([a_package()], folder)

    (folder / "widget.js").unlink()
    assert not is_complete([a_package()], folder)


def test_a_lock_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    lock = tmp_path / "assets.lock"

    for text in ("[widget", "[widget]\nversion = '1'\n", "[widget]\nsize = 1\n"):
        lock.write_text(text)
        with pytest.raises(AssetsRefused, match=r"assets\.lock: "):
            locked(lock)


def test_a_package_that_npm_cannot_get_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path))

    with pytest.raises(AssetsRefused, match=r"npm could not fetch widget@1\.0\.0") as refused:
        fetched_by_npm(a_package())

    assert "ENOTCACHED" in str(refused.value)


@pytest.mark.parametrize("lock", [lock for lock, _ in PLACES], ids=["served", "tests"])
def test_the_locks_pin_every_package_and_take_its_licence_along(lock: Path) -> None:
    packages = locked(lock)

    assert packages
    for package in packages:
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert any(name.endswith("LICENSE.txt") for name in package.files)


@pytest.mark.parametrize(("lock", "folder"), PLACES, ids=["served", "tests"])
def test_this_environment_has_the_files_of_its_locks(lock: Path, folder: Path) -> None:
    assert is_complete(locked(lock), folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {name for p in locked(lock) for name in p.files}


def test_what_only_tests_need_is_not_served() -> None:
    assert {p.name for p in locked(LOCK)} == {"@stoplight/elements", "htmx.org"}
