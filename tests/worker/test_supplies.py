"""Bundles and environments: fetched once, verified, harmless, built from what is asked for."""

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import stat
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from runyard.model.runs import Outcome
from runyard.worker import environments
from runyard.worker.bundles import BundleRefused, unpack
from runyard.worker.environments import Environments, environment_name
from runyard.worker.housing import FolderTaken
from runyard.worker.lanes import Supply
from runyard.worker.removal import remove_tree
from runyard.worker.settings import WorkerSettings
from runyard.worker.supplies import Supplies
from tests.worker.server import a_worker, moment
from tests.worker.test_calls import Allocated
from tests.worker.test_runs import HEAD, outputs


def an_archive(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def a_link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    ["../out.py", "/etc/out.py", "a/../../out.py", "a\\..\\out.py", a_link("link"), "x" * 300],
)
def test_an_archive_that_reaches_outside_is_refused(tmp_path, entry):
    archive = an_archive(tmp_path / "a.zip", (entry, "/etc/passwd"))

    with pytest.raises(BundleRefused):
        unpack(archive, tmp_path / "bundles" / "new")

    assert not list((tmp_path / "bundles").iterdir())


def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path):
    archive = an_archive(tmp_path / "a.zip", ("zeros", bytes(300_000_000)))

    with pytest.raises(BundleRefused, match="too much"):
        unpack(archive, tmp_path / "bundles" / "new")


def test_an_archive_with_a_file_twice_or_a_file_as_folder_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = an_archive(tmp_path / "a.zip", ("a.py", "1"), ("a.py", "2"))
    both = an_archive(tmp_path / "b.zip", ("a", "1"), ("a/b", "2"))

    for archive in (twice, both):
        with pytest.raises(BundleRefused):
            unpack(archive, tmp_path / "bundles" / "new")


def test_an_archive_whose_list_of_files_fills_the_memory_is_refused_unread(tmp_path, monkeypatch):
    # The list is read at once, before anything in it can be judged.
    monkeypatch.setattr("runyard.worker.bundles.MOST_FILES", 10)
    entries = [(f"a{number:0200}", b"") for number in range(100)]
    archive = an_archive(tmp_path / "long.zip", *entries)
    monkeypatch.setattr("zipfile.ZipFile", None)

    with pytest.raises(BundleRefused, match="list of files"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("entries", [[("a", b"x"), ("a/", b"")], [("a/" * 60 + "b", b"x")]])
def test_an_archive_that_cannot_stand_in_a_folder_is_refused(tmp_path, entries):
    # A file that is a folder as well counted as unpacked by somebody else.
    archive = an_archive(tmp_path / "odd.zip", *entries)

    with pytest.raises(BundleRefused):
        unpack(archive, tmp_path / "out")

    assert not list(tmp_path.glob(".unpacking-*"))


def test_a_compression_that_takes_memory_as_it_likes_is_refused(tmp_path):
    archive = tmp_path / "lzma.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("a.py", b"x")

    with pytest.raises(BundleRefused, match="compressed"):
        unpack(archive, tmp_path / "out")


def test_an_archive_that_is_damaged_anywhere_is_refused(tmp_path):
    """Whatever byte is another one, nothing comes out that a worker does not know to report."""
    source = b"import os\n" * 50
    good = an_archive(tmp_path / "good.zip", ("tasks.py", source), ("b/\u00fc.txt", source[::-1]))
    archive = tmp_path / "damaged.zip"
    refusals = set()
    for place in range(len(good.read_bytes())):
        content = bytearray(good.read_bytes())
        content[place] ^= 0xFF
        archive.write_bytes(content)
        try:
            unpack(archive, tmp_path / "unpacked")
        except (BundleRefused, OSError) as refused:
            refusals.add(type(refused.__cause__ or refused).__name__)
        remove_tree(tmp_path / "unpacked")

    assert {"BadZipFile", "error", "UnicodeDecodeError"} <= refusals


def test_a_folder_deeper_than_any_recursion_is_removed(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "kept").write_text("x")
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        os.symlink(tmp_path / "kept", "link", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    remove_tree(root)

    assert not root.exists()
    assert (tmp_path / "kept").exists()


async def test_a_run_may_leave_folders_deeper_than_any_recursion(server):
    version = server.introduce(
        HEAD
        + "@task\ndef main() -> int:\n    for _ in range(3000):\n        os.mkdir('d')\n"
        + "        os.chdir('d')\n    return len(os.listdir(os.environ['HOME']))\n"
    )

    ends = [await server.run(version) for _ in range(2)]

    assert [outputs(end) for end in ends] == [{"result": 1}] * 2


def test_a_bundle_is_unpacked_for_everybody_to_read_and_nobody_to_write(tmp_path):
    archive = an_archive(tmp_path / "a.zip", ("deep/er/a.py", "x = 1"), ("data.csv", "1,2"))

    unpack(archive, tmp_path / "bundles" / "new")

    file = tmp_path / "bundles" / "new" / "deep" / "er" / "a.py"
    assert file.read_text() == "x = 1"
    assert file.stat().st_mode & 0o777 == 0o644


async def test_a_bundle_is_fetched_once_for_all_its_runs(server):
    source = HEAD + "@task\ndef main() -> int:\n    return 1\n"
    versions = [server.introduce(source, company=company) for company in (1, 2, 3)]

    await asyncio.gather(*(server.run(version) for version in versions))

    wanted = [frame for frame in server.frames if type(frame).__name__ == "BlobWanted"]
    assert len(wanted) == 1


async def test_a_blob_that_is_something_else_is_refused(server):
    version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n")
    [digest] = server.blobs
    server.blobs[digest] = b"something else"

    end = await server.run(version)

    assert end.outcome is Outcome.NOT_LOADED
    assert "something else" in end.error.message


def a_wheel(folder, name, version, source, more=()):
    """A minimal wheel, so that no index is needed; `more` are further files."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": source,
        **dict(more),
        f"{name}-{version}.dist-info/METADATA": metadata,
        f"{name}-{version}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    record += f"{name}-{version}.dist-info/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{name}-{version}.dist-info/RECORD", record)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    path.write_bytes(buffer.getvalue())
    return f"{name} @ {path.as_uri()}"


def _digest(text):
    data = text.encode() if isinstance(text, str) else text
    raw = hashlib.sha256(data).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


USES = (
    HEAD + "@task\ndef main() -> list:\n    import {name}\n    return [{name}.VALUE, sys.prefix]\n"
)


async def test_requirements_are_installed_into_an_environment_of_their_own(server, tmp_path):
    one = a_wheel(tmp_path, "yard_one", "1.0", "VALUE = 1\n")
    two = a_wheel(tmp_path, "yard_two", "1.0", "VALUE = 2\n")
    first = server.introduce(USES.format(name="yard_one"), requirements=(one,))
    second = server.introduce(USES.format(name="yard_two"), requirements=(two,))
    stranger = server.introduce(USES.format(name="yard_two"), requirements=(one,), company=2)

    leases = [server.assign(version)[0] for version in (first, second, stranger)]
    ends = await asyncio.gather(*map(server.end_of, leases))

    assert [end.outcome for end in ends] == [Outcome.RETURNED, Outcome.RETURNED, Outcome.RAISED]
    assert [outputs(end)["result"][0] for end in ends[:2]] == [1, 2]
    prefixes = {outputs(end)["result"][1] for end in ends[:2]}
    assert len(prefixes) == 2
    # Of those that need the same one, whoever comes first builds it.
    said = [text for lease in leases for text in server.text(lease)]
    assert sum("building the environment" in text for text in said) == 2
    assert any("yard-one" in text for text in said)
    again = await server.run(first)
    assert outputs(again)["result"][0] == 1


async def test_an_environment_is_built_once_for_all_that_wait_for_it(server, tmp_path):
    wheel = a_wheel(tmp_path, "yard_once", "1.0", "VALUE = 1\n")
    versions = [
        server.introduce(USES.format(name="yard_once"), requirements=(wheel,), company=company)
        for company in (1, 2)
    ]

    ends = await asyncio.gather(*(server.run(version) for version in versions))

    assert [end.outcome for end in ends] == [Outcome.RETURNED] * 2
    built = [
        line for lines in server.lines.values() for line in lines if "building the" in line.text
    ]
    assert len(built) == 1


async def test_requirements_that_cannot_be_installed_end_the_run_with_what_uv_said(
    server, tmp_path
):
    missing = f"yard_missing @ {(tmp_path / 'yard_missing-1.0-py3-none-any.whl').as_uri()}"
    version = server.introduce(HEAD + "@task\ndef main() -> None: ...\n", requirements=(missing,))

    end = await server.run(version)

    assert end.outcome is Outcome.NOT_LOADED
    assert end.error.kind == "EnvironmentNotBuilt"
    assert "yard_missing" in end.error.message


async def test_without_a_pin_of_the_author_the_workers_own_msgspec_is_there(server, tmp_path):
    wheel = a_wheel(tmp_path, "humanize", "99.0", "VALUE = 3\n")
    source = (
        HEAD
        + "@task\ndef main() -> list:\n    import humanize, msgspec\n"
        + "    return [humanize.VALUE, msgspec.__file__]\n"
    )
    version = server.introduce(source, requirements=(wheel,))

    value, file = outputs(await server.run(version))["result"]

    assert value == 3
    assert "/sdk/" in file


WHO = "import os, pathlib\npathlib.Path({mark!r} + '-%d' % os.getuid()).write_text('here')\n"


@pytest.mark.parametrize(
    "module", ["runyard/__init__.py", "runyard/worker/zygote_main.py", "msgspec/__init__.py"]
)
async def test_what_requirements_bring_is_never_loaded_by_a_zygote(server, tmp_path, module):
    # A zygote has the worker's rights; it imported an author's msgspec, and any other's SDK.
    if not server.worker.nursery.isolation.own_users:
        pytest.skip("who loaded a module is told by its user")
    tmp_path.chmod(0o777)
    mark = str(tmp_path / "mark")
    wheel = a_wheel(tmp_path, "yard_guest", "1.0", "", [(module, WHO.format(mark=mark))])
    version = server.introduce(
        HEAD + "@task\ndef main() -> int:\n    return 1\n", requirements=(wheel,)
    )

    await server.run(version)

    assert not (tmp_path / "mark-0").exists()


async def test_an_authors_own_msgspec_is_the_one_that_a_task_gets(server, tmp_path):
    real = Path(msgspec.__file__).parent
    files = [
        (f"msgspec/{path.name}", path.read_bytes()) for path in real.iterdir() if path.is_file()
    ]
    wheel = a_wheel(tmp_path, "yard_pinned", "1.0", "VALUE = 1\n", files)
    source = (
        HEAD
        + "@task\ndef main() -> list:\n    import msgspec, yard_pinned\n"
        + "    return [msgspec.__file__, sys.prefix, sorted(os.environ)]\n"
    )
    version = server.introduce(source, requirements=(wheel,))

    found, prefix, environment = outputs(await server.run(version))["result"]

    assert found.startswith(prefix)
    assert "/environments/" in found
    assert environment == ["HOME", "LANG", "PATH", "TMPDIR"]


async def test_packages_without_a_wheel_are_not_built(server, tmp_path):
    # Building executes the package's own code, with the worker's rights.
    package = tmp_path / "yard_source"
    package.mkdir()
    (package / "setup.py").write_text("open('/proc/self/cwd/built', 'w')\n")
    requirement = f"yard_source @ {package.as_uri()}"
    version = server.introduce(
        HEAD + "@task\ndef main() -> None: ...\n", requirements=(requirement,)
    )

    end = await server.run(version)

    assert end.error.kind == "EnvironmentNotBuilt"
    assert not list(tmp_path.rglob("built"))


async def test_an_installer_that_writes_endless_lines_ends_one_run(folder, tmp_path):
    # A line of more than 64 KiB ended the worker, and the server with it.
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdout.write('x' * 1_000_000 + '\\n')\n"
        "sys.stdout.write('line\\n' * 10_000)\nprint('the last')\nsys.exit(1)\n"
    )
    uv.chmod(0o755)
    python = uv.with_name("python")
    python.symlink_to(sys.executable)
    async with a_worker(folder, python=str(python)) as server:
        version = server.introduce(
            HEAD + "@task\ndef main() -> None: ...\n", requirements=("anything",)
        )
        innocent = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n")

        [lease] = server.assign(version)
        end = await server.end_of(lease)

        assert end.error.kind == "EnvironmentNotBuilt"
        assert end.error.message.endswith("the last")
        assert len(server.text(lease)) < 3_000
        assert outputs(await server.run(innocent)) == {"result": 1}


async def test_inspection_builds_the_environment_first(server, tmp_path):
    wheel = a_wheel(tmp_path, "yard_early", "1.0", "VALUE = 4\n")
    block = f"# /// script\n# dependencies = [{json.dumps(wheel)}]\n# ///\n"

    inspected = await server.inspect(
        {"tasks.py": block + "import yard_early\n" + HEAD + "@task\ndef main() -> None: ...\n"}
    )

    assert inspected.problem is None
    [declaration] = inspected.declarations
    assert declaration.requirements == (wheel,)


def test_the_order_of_requirements_makes_no_other_environment():
    assert environment_name(("a", "b==1")) == environment_name(("b==1", "a"))
    assert environment_name(("a",)) != environment_name(("a", "b==1"))


def test_requirements_are_fetched_from_whom_the_machine_trusts(tmp_path, monkeypatch):
    authorities = tmp_path / "authorities.pem"
    authorities.touch()
    monkeypatch.setattr(environments, "AUTHORITIES", (str(authorities),))

    trusted = Environments(WorkerSettings(folder=tmp_path / "one"))._variables()
    chosen = Environments(
        WorkerSettings(folder=tmp_path / "two", variables={"UV_SYSTEM_CERTS": "false"})
    )._variables()
    authorities.unlink()
    bare = Environments(WorkerSettings(folder=tmp_path / "three"))._variables()

    assert trusted["UV_SYSTEM_CERTS"] == "true"
    assert chosen["UV_SYSTEM_CERTS"] == "false"
    assert bare["UV_SYSTEM_CERTS"] == "false"


async def test_a_run_whose_files_come_when_its_environment_has_failed_ends_as_well(
    server, tmp_path
):
    """R2: it was put into a lane that nobody looked at any more, and kept its lease for good."""
    missing = f"yard_missing @ {(tmp_path / 'yard_missing-1.0-py3-none-any.whl').as_uri()}"
    version = server.introduce(HEAD + "@task\ndef main() -> None: ...\n", requirements=(missing,))
    digest = server.keep(b"abc")
    file = {"file": 5, "digest": digest, "size": 3, "name": "a", "content_type": "text/plain"}
    send, withheld = server._send_blob, []

    def send_all_but_the_file(wanted):
        (withheld.append if wanted.digest == digest else send)(wanted)

    server._send_blob = send_all_but_the_file
    without, with_file = server.assign(version, [b"{}", json.dumps({"file": file}).encode()])
    assert (await server.end_of(without)).outcome is Outcome.NOT_LOADED

    for wanted in withheld:
        send(wanted)

    async with asyncio.timeout(30):
        assert (await server.end_of(with_file)).outcome is Outcome.NOT_LOADED
    assert not list(server.worker.nursery.staging("").parent.glob("staged-*"))


async def test_children_that_are_let_go_before_their_zygote_is_ready_are_never_made(
    server, tmp_path
):
    """R12: nobody remembered to end them once they were there."""
    wheel = a_wheel(tmp_path, "yard_brief", "1.0", "VALUE = 1\n")
    version = server.introduce(HEAD + "@task\ndef main() -> None: ...\n", requirements=(wheel,))
    allocated = Allocated(server)
    nursery = server.worker.nursery
    allocated.order(version, 2)
    await looked(lambda: nursery.children)

    allocated.order(version, 0)

    await looked(lambda: not nursery.children)
    end = await server.run(version)
    assert end.outcome is Outcome.RETURNED
    assert len(nursery.children) == 1


async def test_a_zygote_that_dies_before_it_is_ready_keeps_no_run(server, tmp_path):
    """R2: of several children that waited for it, only one was given up."""
    wheel = a_wheel(tmp_path, "yard_early_death", "1.0", "VALUE = 1\n")
    version = server.introduce(
        HEAD + "@task\ndef main() -> int:\n    return os.getpid()\n", requirements=(wheel,)
    )
    leases = server.assign(version, [b"{}"] * 2)
    await looked(lambda: len(server.worker.nursery.children) == 2)

    [zygote] = [z for z in server.worker.nursery.zygotes if z.environment.with_site]
    os.kill(zygote.pid, signal.SIGKILL)

    async with asyncio.timeout(30):
        ends = [await server.end_of(lease) for lease in leases]
    assert [end.outcome for end in ends] == [Outcome.RETURNED] * 2


async def looked(holds):
    """Return once this holds, in the very turn of the loop in which it begins to."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)  # noqa: TID251 - lets the worker go on


async def test_bundles_that_nothing_uses_are_removed(folder):
    """R12: every deploy left its bundle on the disk of each worker, for good."""
    source = HEAD + "@task\ndef main() -> int:\n    return {number}\n"
    async with a_worker(folder, bundles=2, warm_children=0) as server:
        versions = [server.introduce(source.format(number=number)) for number in range(10)]
        for number, version in enumerate(versions):
            assert outputs(await server.run(version)) == {"result": number}

        # Two are spare, a few belong to children that are still there.
        await looked(lambda: len(list((folder / "bundles").iterdir())) <= 6)
        assert outputs(await server.run(versions[0])) == {"result": 0}


async def test_an_environment_that_is_about_to_be_removed_is_not_given_out(
    folder, tmp_path, monkeypatch
):
    """Whoever obtained it in that moment found it gone when its first child started."""
    wheel = a_wheel(tmp_path, "yard_removed", "1.0", "VALUE = 1\n")
    supplies = Supplies(WorkerSettings(folder=folder, environments=0), lambda frame: None)
    removals = []
    monkeypatch.setattr("runyard.worker.supplies.remove_tree", removals.append)
    first = await supplies.environment((wheel,), print)

    supplies._clean_up(Supply(tmp_path, supplies.base))
    again = await supplies.environment((wheel,), print)
    async with asyncio.timeout(20):
        while not removals:
            await moment(0.01)
    for path in removals:
        remove_tree(path)

    assert again.name == first.name
    assert os.path.exists(again.python)  # noqa: ASYNC240


async def test_two_workers_do_not_share_a_folder(folder):
    """The second one removed what the first was just fetching or building."""
    async with a_worker(folder):
        with pytest.raises(ExceptionGroup) as raised:
            async with a_worker(folder):
                pass
        assert raised.value.subgroup(FolderTaken) is not None
    async with a_worker(folder):
        pass
