"""Front-end files as a server answers them."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from runyard.console import rendering
from runyard.console.assets import CONTENT_TYPES, FOLDER, AssetMissing, Assets, installed
from tests.architecture.tree import REPOSITORY
from tests.support.server import running_server

ADDRESS = re.compile(r"/console/assets/[0-9a-f]{20}/[\w.-]+")


async def test_a_file_is_answered_to_be_kept_for_ever(memory_path: Path) -> None:
    address = installed().address("elements.js")
    content = (FOLDER / "vendor" / "elements.js").read_bytes()

    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        plain = await anyone.get(f"{server.url}{address}", headers={"accept-encoding": "identity"})
        packed = await anyone.get(f"{server.url}{address}", headers={"accept-encoding": "br, gzip"})
        head = await anyone.head(f"{server.url}{address}", headers={"accept-encoding": "identity"})

    assert ADDRESS.fullmatch(address)
    assert plain.content == packed.content == content
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(content) / 3
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(content)
    for answer in (plain, packed, head):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("name", ["elements.css", "console.css", "runyard.svg", "htmx.js"])
async def test_every_kind_of_file_has_its_content_type(memory_path: Path, name: str) -> None:
    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        answer = await anyone.get(f"{server.url}{installed().address(name)}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].encode() == CONTENT_TYPES[Path(name).suffix]


async def test_no_address_leads_out_of_the_files(memory_path: Path) -> None:
    digest = installed().address("console.css").split("/")[3]
    tricks = [
        f"{digest}/console.css/",
        f"{digest}/",
        f"{digest}",
        "",
        f"{digest}//console.css",
        f"{digest}/%2e%2e%2fassets.py",
        f"{digest}/..%2f..%2fassets.py",
        f"{digest}/vendor%2felements.js",
        f"{digest}/CONSOLE.CSS",
        f"{digest}/console.css%00",
        f"{digest}/manifest.json",
        f"{digest.upper()}x/console.css",
        f"{'0' * 20}/console.css",
        f"{digest[:-1]}/console.css",
        f"{digest}/console.css;x",
        f"{digest}/.%2Fconsole.css",
    ]

    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        answers = {}
        for trick in tricks:
            url = httpx.URL(server.url).copy_with(raw_path=f"/console/assets/{trick}".encode())
            answers[trick] = (await anyone.get(url)).status_code
        change = await anyone.post(f"{server.url}{installed().address('console.css')}")

    assert answers == dict.fromkeys(tricks, 404)
    assert change.status_code == 405


def test_another_content_has_another_address(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    before = Assets(tmp_path).address("a.css")
    (tmp_path / "a.css").write_text("b {}")

    assert Assets(tmp_path).address("a.css") != before


def test_a_file_that_was_not_fetched_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing, match=r"elements\.js is missing.*tools.assets"):
        Assets(tmp_path / "vendor").address("elements.js")


async def test_a_page_without_its_files_says_how_to_get_them(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = rendering._environment()
    monkeypatch.setitem(environment.globals, "asset", Assets(FOLDER).address)

    async with running_server(memory_path) as server, httpx.AsyncClient() as anyone:
        page = await anyone.get(f"{server.url}/console/reference/native")

    assert page.status_code == 503
    assert "elements.css is missing" in page.text
    assert "python -m tools.assets" in page.text


def test_styles_and_scripts_of_ours_name_no_other_host() -> None:
    for path in FOLDER.iterdir():
        if path.is_file():
            found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())
            assert [host for host in found if "www.w3.org" not in host] == [], path.name


def test_a_built_wheel_has_the_front_end_files(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())

    for name in ("vendor/elements.js", "vendor/htmx.js", "vendor/htmx-LICENSE.txt", "console.css"):
        assert f"runyard/console/assets/{name}" in names
    assert "runyard/console/templates/bare.html" in names
