"""What a part may lean on: third-party code, other parts, and itself.

The import contracts in pyproject.toml hold the layers; these tests hold what those cannot say.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import grimp
import pytest

from tests.architecture.tree import SOURCE, modules, parsed, relative

LEAN_PARTS = ("model", "protocol", "sdk")
"""Loaded into every child: only the standard library and msgspec."""
CLIENT = SOURCE / "sdk" / "client"
"""The one part of the SDK that talks HTTP; it is loaded when somebody asks for it."""
WORKER_HALF = ("worker", "agent_types", "sdk")
SERVER_HALF = (
    "engine",
    "stores",
    "outbound",
    "workflows",
    "web",
    "dialects",
    "gateway",
    "console",
    "server",
)
CLIENT_AND_SERVER_PACKAGES = ("httpx", "litestar", "uvicorn", "psycopg", "apsw", "websockets")


def is_client(path: Path) -> bool:
    return CLIENT in path.with_suffix("").parents or path.with_suffix("") == CLIENT


def lean_modules() -> list[Path]:
    return [path for part in LEAN_PARTS for path in modules(part) if not is_client(path)]


def imported_packages(tree: ast.Module) -> Iterator[str]:
    """Top-level packages that a module imports anywhere, functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def dotted(path: Path) -> str:
    """The name a module is imported by."""
    parts = path.with_suffix("").relative_to(SOURCE.parent).parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_by(statements: Sequence[str]) -> set[str]:
    """The modules that a fresh interpreter has loaded after these statements."""
    program = ["import sys", *statements, "print(*sys.modules)"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", "\n".join(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def packages_among(loaded: set[str], names: Sequence[str]) -> set[str]:
    return {n for n in names if any(m == n or m.startswith(f"{n}.") for m in loaded)}


def cycles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which imports all others in the end (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for imported in imports.get(module, ()):
            if imported not in order:
                visit(imported)
            if imported in path:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == order[module]:
            start = path.index(module)
            group, path[start:] = path[start:], []
            if len(group) > 1:
                found.append(sorted(group))

    for module in imports:
        if module not in order:
            visit(module)
    return found


@pytest.mark.parametrize("path", lean_modules(), ids=relative)
def test_what_a_child_loads_needs_only_the_standard_library_and_msgspec(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"msgspec", "runyard"}

    assert set(imported_packages(parsed(path))) - allowed == set()


def test_task_code_loads_neither_client_nor_server() -> None:
    loaded = loaded_by(["from runyard import File, log, task", "import runyard.sdk"])

    assert packages_among(loaded, CLIENT_AND_SERVER_PACKAGES) == set()
    assert packages_among(loaded, [f"runyard.{part}" for part in SERVER_HALF]) == set()


def test_every_name_that_the_package_offers_can_be_had() -> None:
    loaded = loaded_by(
        ["import runyard", "offered = dir(runyard)", "[getattr(runyard, n) for n in offered]"]
    )

    assert "runyard.sdk" in loaded


def test_the_worker_half_never_loads_the_server_half() -> None:
    paths = [path for part in (*WORKER_HALF, *LEAN_PARTS) for path in modules(part)]

    loaded = loaded_by([f"import {dotted(path)}" for path in paths if path.stem != "__main__"])

    assert packages_among(loaded, [f"runyard.{part}" for part in SERVER_HALF]) == set()
    assert packages_among(loaded, ("litestar", "uvicorn", "psycopg", "apsw")) == set()


def test_the_server_half_never_loads_the_worker_half() -> None:
    paths = [path for part in SERVER_HALF for path in modules(part)]

    loaded = loaded_by([f"import {dotted(path)}" for path in paths if path.stem != "__main__"])

    assert packages_among(loaded, [f"runyard.{part}" for part in WORKER_HALF]) == set()


def test_the_command_line_loads_a_half_only_when_a_command_needs_it() -> None:
    loaded = loaded_by(["import runyard.cli"])

    heavy = ("httpx", "litestar", "uvicorn", "psycopg", "apsw", "runyard.server", "runyard.worker")
    assert packages_among(loaded, heavy) == set()


def test_a_cycle_is_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}

    assert cycles(imports) == [["b", "c"]]


def test_no_modules_import_each_other_as_they_load() -> None:
    graph = grimp.build_graph("runyard", cache_dir=None, exclude_type_checking_imports=True)
    imports = {m: graph.find_modules_directly_imported_by(m) for m in sorted(graph.modules)}

    assert cycles(imports) == []
