"""What is found in a bundle, what a bundle is refused for, and when a task counts as changed."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from runyard.model.errors import CodeRefused
from runyard.model.tasks import Declaration
from runyard.sdk.inspection import static_requirements

TASK = "from runyard import task\n@task\ndef {name}() -> None: ...\n"
INSPECT = """
import sys, msgspec
from runyard.model.errors import CodeRefused
from runyard.sdk import runtime
try:
    found = runtime.inspect(sys.argv[1])
except CodeRefused as refused:
    found = [refused.detail, refused.file, refused.line]
sys.__stdout__.buffer.write(msgspec.json.encode(found))
"""


@pytest.fixture
def bundle(tmp_path):
    """Writes the files of a bundle and says where it is."""
    made = tmp_path / "bundle"
    made.mkdir()

    def write(files):
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return made

    return write


def answer(folder: Path) -> bytes:
    """Inspect in a process of its own, as a child does: it imports what it is given."""
    command = [sys.executable, "-c", INSPECT, str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def declarations(folder: Path) -> dict[str, Declaration]:
    found = msgspec.json.decode(answer(folder), type=list[Declaration])
    return {declaration.name: declaration for declaration in found}


def refusal(folder: Path) -> tuple[str, str | None, int | None]:
    return msgspec.json.decode(answer(folder), type=tuple[str, str | None, int | None])


# ---------------------------------------------------------------- what is found


def test_tasks_are_found_in_files_packages_and_source_folders(bundle):
    folder = bundle(
        {
            "single.py": TASK.format(name="single"),
            "pack/__init__.py": TASK.format(name="in_package"),
            "pack/deep/inner.py": "from ..other import helper\n" + TASK.format(name="inner"),
            "pack/other.py": "def helper(): ...\n",
            "src/lib/code.py": TASK.format(name="in_source"),
            "zip-code.py": TASK.format(name="dashed"),
            "importer.py": "from single import single\n",
            "tests/test_single.py": "raise RuntimeError('tests are left aside')\n",
            "test_more.py": "raise RuntimeError('tests are left aside')\n",
            "conftest.py": "raise RuntimeError('tests are left aside')\n",
            ".hidden/code.py": "raise RuntimeError('hidden files are left aside')\n",
            "env/pyvenv.cfg": "",
            "env/code.py": "raise RuntimeError('environments are left aside')\n",
        }
    )

    found = declarations(folder)

    assert {name: one.module for name, one in found.items()} == {
        "single": "single",
        "in_package": "pack",
        "inner": "pack.deep.inner",
        "in_source": "lib.code",
        "dashed": "zip-code",
    }
    assert list(found) == sorted(found)


def test_a_declaration_says_what_the_code_says(bundle):
    folder = bundle(
        {
            "code.py": '''
from runyard import task
@task("Zip code", timeout="30s", priority=7)
def zip_code(zip: str, limit: int = 3) -> int:
    """Where a US zip code lies.

    In detail.
    """
    return 1
again = zip_code
'''
        }
    )

    [found] = declarations(folder).values()

    assert found.name == found.key == "Zip code"
    assert found.path == "Bots/Zip code"
    assert found.description == "Where a US zip code lies.\n\nIn detail."
    assert (found.module, found.function) == ("code", "zip_code")
    assert [field.name for field in found.inputs] == ["zip", "limit"]
    assert [field.name for field in found.outputs] == ["result"]
    assert found.policies.priority == 7


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("files", "reason", "file", "line"),
    [
        ({"a.py": "x = 1\ndef f(:\n"}, "syntax error: ", "a.py", 2),
        ({"pack/a.py": "x = 1\n\nimport nowhere\n"}, "No module named 'nowhere'", "pack/a.py", 3),
        (
            {"a.py": "import b\n", "b.py": "x = 1\n1 / 0\n"},
            "ZeroDivisionError: division by zero",
            "b.py",
            2,
        ),
        ({"a.py": "raise SystemExit(1)\n"}, "SystemExit: 1", "a.py", 1),
        ({"a.py": "import json\njson.loads('{')\n"}, "JSONDecodeError", "a.py", 2),
        (
            {"a.py": "from runyard import task\n@task\ndef f(a: set[int]) -> None: ...\n"},
            "task f: parameter a: set[int] is no supported type",
            "a.py",
            2,
        ),
        (
            {"a.py": "from runyard import task\n\n@task(priority=0)\ndef f() -> None: ...\n"},
            "task f: priority=0 must be a whole number",
            "a.py",
            3,
        ),
        (
            {"a.py": "from runyard import task\n@task(timeot='1s')\ndef f() -> None: ...\n"},
            "@task knows no option timeot",
            "a.py",
            2,
        ),
        (
            {"a.py": TASK.format(name="f"), "b.py": TASK.format(name="f")},
            "there are two tasks named 'f'; the other is in a.py, line 2",
            "b.py",
            2,
        ),
        ({"a.py": "x = 1\n"}, "there is no task in it", None, None),
        ({}, "there is no task in it", None, None),
        (
            {"json.py": TASK.format(name="f")},
            "the name json belongs to another module",
            "json.py",
            None,
        ),
        (
            {"a.b.py": TASK.format(name="f")},
            "'a.b' cannot be part of a module's name",
            "a.b.py",
            None,
        ),
        (
            {"src/a.py": TASK.format(name="f"), "a.py": TASK.format(name="g")},
            "it is the module a, and so is a.py",
            "src/a.py",
            None,
        ),
        ({"a.py": "x = '\0'\n"}, "", "a.py", None),
    ],
)
def test_a_bundle_is_refused_with_file_line_and_reason(bundle, files, reason, file, line):
    said, where, at = refusal(bundle(files))

    assert reason in said
    assert where == file
    assert line is None or at == line


# ---------------------------------------------------------------- requirements

BLOCK = """# /// script
# requires-python = "{python}"
# dependencies = ["httpx>=0.27", "runyard", "attrs"]
# ///
"""


def test_requirements_are_read_without_executing_anything(bundle):
    folder = bundle(
        {
            "a.py": BLOCK.format(python=">=3.9,!=3.10.*")
            + "raise RuntimeError('never executed')\n"
            + "@task(requirements=['zipcodes', 'attrs'])\ndef f(): ...\n",
            "b.py": "class C:\n    @task('x', requirements=('Brotli',))\n    async def f(): ...\n",
        }
    )

    assert static_requirements(folder) == ("attrs", "Brotli", "httpx>=0.27", "zipcodes")


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("L = ['a']\n@task(requirements=L)\ndef f(): ...\n", "must be written out", 2),
        ("@task(requirements='attrs')\ndef f(): ...\n", "must be a list of text", 1),
        ("@task(requirements=['-r x'])\ndef f(): ...\n", "'-r x' must be a package", 1),
        (BLOCK.format(python=">=3.99"), "requires-python is '>=3.99', and the worker has", 1),
        (BLOCK.format(python="python3"), "'python3' is not understood", 1),
        ("# /// script\n# dependencies = 5\n# ///\n", "dependencies must be a list of text", 1),
        ("x = 1\n# /// script\n# dependencies = [\n# ///\n", "script block: ", 2),
        ("# /// script\n# dependencies = []\nx = 1\n", "no line '# ///' ends it", 1),
        (BLOCK.format(python=">=3.9") * 2, "script block: there is more than one", 1),
    ],
)
def test_requirements_that_cannot_be_read_are_refused(bundle, text, reason, line):
    with pytest.raises(CodeRefused) as caught:
        static_requirements(bundle({"a.py": text}))

    assert reason in caught.value.detail
    assert (caught.value.file, caught.value.line) == ("a.py", line)


@pytest.mark.parametrize(
    "clause", ["==3.*", ">=3", "~=3.0", "<4", ">3.0", "<=3.99", "!=2.7", "!=2.*"]
)
def test_specifiers_that_this_python_fulfils(bundle, clause):
    assert static_requirements(bundle({"a.py": BLOCK.format(python=clause)}))


def test_a_task_needs_what_the_files_it_reaches_need(bundle):
    folder = bundle(
        {
            "a.py": "from runyard import task\nimport shared\n@task(requirements=['attrs'])\ndef a() -> None: ...\n",
            "shared.py": "# /// script\n# dependencies = ['msgspec']\n# ///\n",
            "b.py": TASK.format(name="b"),
        }
    )

    found = declarations(folder)

    assert found["a"].requirements == ("attrs", "msgspec")
    assert found["b"].requirements == ()


# ---------------------------------------------------------------- fingerprints

TREE = {
    "a.py": "from pack import helper\n" + TASK.format(name="a"),
    "b.py": TASK.format(name="b"),
    "c.py": "import importlib\n" + TASK.format(name="c"),
    "pack/__init__.py": "",
    "pack/helper.py": "from . import deeper\n",
    "pack/deeper.py": "x = 1\n",
    "pack/unused.py": "y = 1\n",
    "lonely/__init__.py": "",
    "lonely/d.py": TASK.format(name="d"),
    "lonely/words.txt": "one",
    "data.csv": "1,2\n",
    "README.md": "# Tasks\n",
}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, ""),
        ({"b.py": TASK.format(name="b") + "# changed\n"}, "bc"),
        ({"pack/deeper.py": "x = 2\n"}, "ac"),
        ({"pack/__init__.py": "z = 1\n"}, "ac"),
        ({"pack/unused.py": "y = 2\n"}, "c"),
        ({"lonely/words.txt": "two"}, "abcd"),
        ({"data.csv": "1,3\n"}, "abc"),
        ({"README.md": "# Changed\n"}, ""),
        ({"new.csv": ""}, "abc"),
        ({"b.py": TASK.format(name="b").replace("@task", "@task(priority=5)")}, "bc"),
    ],
)
def test_only_tasks_that_can_reach_a_change_get_another_fingerprint(bundle, change, changed):
    before = declarations(bundle(TREE))
    after = declarations(bundle(change))

    assert "".join(n for n in before if before[n].fingerprint != after[n].fingerprint) == changed


# ---------------------------------------------------------------- what a fresh child has loaded


def test_the_runtime_brings_little_along():
    script = "import sys, runyard.sdk.runtime; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, check=True, text=True, timeout=60
    )
    loaded = set(done.stdout.split())

    assert "msgspec" in loaded
    heavy = {"asyncio", "logging", "ssl", "subprocess", "tempfile", "traceback", "httpx", "tomllib"}
    assert not loaded & heavy
    servers = (
        "runyard.engine",
        "runyard.stores",
        "runyard.server",
        "runyard.web",
        "runyard.sdk.client",
    )
    assert not [name for name in loaded if name.startswith(servers)]
