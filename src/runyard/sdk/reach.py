"""Which files of a bundle a module can reach: what a new version of its tasks depends on.

Code: the module, the bundle's modules that it imports anywhere in its text (and they in turn), and
the packages around each of them. Data: every other file in the folder of a reached module, or below
it. A module that imports by names which only show when it is executed (`importlib`, `__import__`)
reaches the whole bundle. So a version may be made that was not needed, but never the reverse.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from runyard.sdk.bundles import files
from runyard.sdk.requirements import Parsed

_DYNAMIC = {"importlib", "runpy", "pkgutil"}


def reached(start: str, modules: Mapping[str, Parsed]) -> frozenset[str]:
    """The modules of the bundle that this one can reach, itself included."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found or name not in modules:
            continue
        found.add(name)
        if _imports_dynamically(modules[name].tree):
            return frozenset(modules)
        waiting += _packages_around(name)
        waiting += _imported(modules[name])
    return frozenset(found)


def digest_of(folder: Path, names: frozenset[str], modules: Mapping[str, Parsed]) -> str:
    """A digest of these modules and of the data files they can reach; hex."""
    digest = hashlib.sha256()
    for path in _files_of(folder, names, modules):
        shown = path.relative_to(folder).as_posix().encode()
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(len(shown).to_bytes(4, "big") + shown + content)
    return digest.hexdigest()


def _files_of(folder: Path, names: frozenset[str], modules: Mapping[str, Parsed]) -> Iterator[Path]:
    code = {modules[name].source.path for name in names}
    folders = {path.parent for path in code}
    for path in files(folder):
        if path in code or (path.suffix != ".py" and not folders.isdisjoint(path.parents)):
            yield path


def _packages_around(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imported(parsed: Parsed) -> Iterator[str]:
    """Names that the module's import statements may mean, inside the bundle or not."""
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                yield from _packages_around(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _base(parsed, node)
            yield base
            yield from _packages_around(base)
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _base(parsed: Parsed, node: ast.ImportFrom) -> str:
    """The module that `from ... import` speaks of, dots before its name resolved."""
    if not node.level:
        return node.module or ""
    parts = parsed.source.module.split(".")
    up = node.level - 1 if parsed.source.is_package else node.level
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def _imports_dynamically(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                if any(alias.name.split(".")[0] in _DYNAMIC for alias in names):
                    return True
            case ast.ImportFrom(module=str(module), level=0):
                if module.split(".")[0] in _DYNAMIC:
                    return True
            case ast.Name(id="__import__" | "exec"):
                return True
            case _:
                pass
    return False
