"""What the code of a task does, statement by statement: read, never executed.

A bundle is anybody's bytes. Of it only the task's own module is inflated, up to a limit, and parsed
beside the event loop; what was found is remembered, for a version never changes.
"""

import ast
import asyncio
import io
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from runyard.engine.files import Files
from runyard.model.errors import CodeNotShown
from runyard.model.ids import VersionId
from runyard.model.tasks import Declaration, Version

LARGEST_MODULE = 128 * 1024
LARGEST_BUNDLE = 16 * 1024 * 1024
MOST_REMEMBERED = 256
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError)
_UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class Command(msgspec.Struct, frozen=True):
    """One statement of a task."""

    name: str
    """What it calls, such as `log.info`, or what it is, such as `if`."""
    line: int
    """In the task's module, from 1."""


class Code:
    """Tells what tasks do."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: OrderedDict[VersionId, tuple[Command, ...]] = OrderedDict()

    async def commands(self, version: Version) -> tuple[Command, ...]:
        """The statements of its function, by line; raises CodeNotShown."""
        found = self._known.get(version.id)
        if found is None:
            bundle = await self._bundle(version.bundle_digest)
            found = await asyncio.to_thread(_commands, bundle, version.declaration)
            self._known[version.id] = found
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def _bundle(self, digest: str) -> bytes:
        size = await self._files.blob_size(digest)
        if size is None:
            raise CodeNotShown("its bundle is not kept any more")
        if size > LARGEST_BUNDLE:
            raise CodeNotShown(f"its bundle has {size} bytes; read are {LARGEST_BUNDLE} at most")
        return b"".join([part async for part in self._files.blob(digest)])


def _commands(bundle: bytes, declaration: Declaration) -> tuple[Command, ...]:
    source = _module_of(bundle, declaration.module)
    try:
        body = _function(ast.parse(source), declaration.function).body
    except _UNPARSABLE as error:
        raise CodeNotShown(f"its module cannot be parsed here: {error}") from None
    return tuple(_told(body))


def _module_of(bundle: bytes, module: str) -> bytes:
    path = module.replace(".", "/")
    names = [f"{root}{path}{end}" for root in ("src/", "") for end in (".py", "/__init__.py")]
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
            there = set(opened.namelist())
            name = next((name for name in names if name in there), None)
            if name is None:
                raise CodeNotShown(f"its bundle has no module {module}")
            with opened.open(name) as entry:
                source = entry.read(LARGEST_MODULE + 1)
    except _DAMAGED as error:
        raise CodeNotShown(f"its bundle cannot be read: {error}") from None
    if len(source) > LARGEST_MODULE:
        raise CodeNotShown(
            f"its module has more than {LARGEST_MODULE} bytes, the most that is read"
        )
    return source


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _function(tree: ast.Module, name: str) -> _Function:
    for node in ast.walk(tree):
        if isinstance(node, _Function) and node.name == name.rpartition(".")[2]:
            return node
    raise CodeNotShown(f"its module defines no function {name}")


# ---------------------------------------------------------------- statements

_WORDS = {
    ast.AsyncFor: "for",
    ast.AsyncWith: "with",
    ast.AugAssign: "assign",
    ast.AnnAssign: "assign",
    ast.FunctionDef: "define",
    ast.AsyncFunctionDef: "define",
    ast.ClassDef: "define",
    ast.Expr: "evaluate",
    ast.ImportFrom: "import",
    ast.TryStar: "try",
}
"""What statements are called whose class is called otherwise."""


def _told(statements: Iterable[ast.stmt]) -> Iterator[Command]:
    """Statements and those inside them, by line."""
    for statement in statements:
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield Command(_called(statement) or _word(statement), statement.lineno)
        if not isinstance(statement, _Function | ast.ClassDef):
            for inner in _inside(statement):
                yield from _told(inner)


def _word(statement: ast.stmt) -> str:
    return _WORDS.get(type(statement)) or type(statement).__name__.lower()


def _inside(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    yield getattr(statement, "body", [])
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body
    yield getattr(statement, "orelse", [])
    yield getattr(statement, "finalbody", [])


def _called(statement: ast.stmt) -> str | None:
    """The dotted name of what a statement calls, when that is what it does."""
    match statement:
        case ast.Expr(value=value) | ast.Assign(value=value) | ast.AnnAssign(value=value):
            return None if value is None else _dotted(value)
        case ast.With(items=[item]) | ast.AsyncWith(items=[item]):
            return _dotted(item.context_expr)
        case _:
            return None


def _dotted(value: ast.expr) -> str | None:
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return None
    names: list[str] = []
    part = value.func
    while isinstance(part, ast.Attribute):
        names.append(part.attr)
        part = part.value
    if isinstance(part, ast.Name):
        names.append(part.id)
    return ".".join(reversed(names)) or None
