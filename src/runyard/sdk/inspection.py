"""Finds the tasks of a bundle: imports its modules and reads what their functions declare.

This executes the bundle's code, so only a child does it. A bundle is refused whole: `CodeRefused`
says where and why, and nothing of it counts.
"""

import hashlib
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from runyard.model.errors import CodeRefused
from runyard.model.tasks import Declaration
from runyard.sdk import reach
from runyard.sdk.annotations import Unsupported
from runyard.sdk.bundles import Source, extend_path, sources
from runyard.sdk.requirements import (
    Parsed,
    declared_by_file,
    declared_by_tasks,
    is_own,
    merged,
    parse,
)
from runyard.sdk.signature import read_signature
from runyard.sdk.tasks import Task

Modules = Mapping[str, Parsed]


class _Found(NamedTuple):
    """A task and where it was found."""

    task: Task[..., Any]
    attribute: str
    parsed: Parsed


def static_requirements(folder: str | Path) -> tuple[str, ...]:
    """All that an unpacked bundle needs to be imported, sorted; executes nothing of it.

    Raises CodeRefused for code that cannot be parsed and requirements that cannot be read.
    """
    modules = _parsed(Path(folder).resolve())
    return merged(requirement for parsed in modules.values() for requirement in _stated(parsed))


def inspect(folder: str | Path) -> tuple[Declaration, ...]:
    """The tasks of an unpacked bundle, by name; raises CodeRefused.

    Imports the bundle's modules into this process.
    """
    folder = Path(folder).resolve()
    modules = _parsed(folder)
    extend_path(folder)
    found = [f for parsed in modules.values() for f in _tasks_in(parsed, _imported(parsed, folder))]
    _refuse_clashes(found)
    if not found:
        raise CodeRefused("there is no task in it: no function of a module is marked with @task")
    declarations = [_declaration(f, folder, modules) for f in found]
    return tuple(sorted(declarations, key=lambda declaration: declaration.name))


def _parsed(folder: Path) -> Modules:
    modules: dict[str, Parsed] = {}
    for source in sources(folder):
        if source.module in modules:
            other = modules[source.module].source.shown
            reason = f"it is the module {source.module}, and so is {other}"
            raise CodeRefused(reason, file=source.shown)
        modules[source.module] = parse(source)
    return modules


def _stated(parsed: Parsed) -> tuple[str, ...]:
    return (*declared_by_file(parsed), *declared_by_tasks(parsed))


# ---------------------------------------------------------------- loading modules


def _imported(parsed: Parsed, folder: Path) -> ModuleType:
    source = parsed.source
    try:
        module = import_module(source.module)
    except CodeRefused as refused:
        raise _placed(refused, source, folder) from None
    except BaseException as raised:  # noqa: BLE001 - importing supervises the bundle's code
        raise _import_refused(raised, source, folder) from None
    loaded_from = Path(getattr(module, "__file__", None) or "")
    if loaded_from.resolve() != source.path:
        reason = f"the name {source.module} belongs to another module; rename the file"
        raise CodeRefused(reason, file=source.shown)
    return module


def _placed(refused: CodeRefused, source: Source, folder: Path) -> CodeRefused:
    """A refusal by the SDK itself, with the file as people know it."""
    file, line = refused.file, refused.line
    if file is None:
        return CodeRefused(refused.detail, file=source.shown, line=line)
    return CodeRefused(refused.detail, file=_shown(file, folder) or source.shown, line=line)


def _import_refused(raised: BaseException, source: Source, folder: Path) -> CodeRefused:
    file, line = _where(raised, folder)
    kind, message = type(raised).__name__, str(raised)
    reason = (
        f"it cannot be imported: {kind}: {message}" if message else f"it cannot be imported: {kind}"
    )
    if isinstance(raised, ModuleNotFoundError):
        reason += "; if a package provides it, name that in requirements="
    return CodeRefused(reason, file=file or source.shown, line=line)


def _where(raised: BaseException, folder: Path) -> tuple[str | None, int | None]:
    """The innermost line of the bundle's own code that the error came through."""
    if isinstance(raised, SyntaxError) and raised.filename:
        shown = _shown(raised.filename, folder)
        if shown is not None:
            return shown, raised.lineno
    for frame in reversed(traceback.extract_tb(raised.__traceback__)):
        shown = _shown(frame.filename, folder)
        if shown is not None:
            return shown, frame.lineno
    return None, None


def _shown(file: str, folder: Path) -> str | None:
    path = Path(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None


# ---------------------------------------------------------------- declarations


def _tasks_in(parsed: Parsed, module: ModuleType) -> Iterator[_Found]:
    """The tasks that this module defines, not those that it imports from another one."""
    seen: set[int] = set()
    for name, value in list(vars(module).items()):
        if not isinstance(value, Task) or id(value) in seen:
            continue
        seen.add(id(value))
        if value.function.__module__ == module.__name__:
            yield _Found(value, name, parsed)


def _refuse_clashes(found: list[_Found]) -> None:
    by_key: dict[str, _Found] = {}
    by_name: dict[str, _Found] = {}
    for one in found:
        for taken, value in ((by_name, one.task.name), (by_key, one.task.key)):
            other = taken.setdefault(value, one)
            if other is not one:
                where = f"{other.parsed.source.shown}, line {_line(other)}"
                reason = f"there are two tasks named {value!r}; the other is in {where}"
                raise CodeRefused(reason, file=one.parsed.source.shown, line=_line(one))


def _line(found: _Found) -> int:
    return found.task.function.__code__.co_firstlineno


def _declaration(found: _Found, folder: Path, modules: Modules) -> Declaration:
    task, source = found.task, found.parsed.source
    try:
        signature = read_signature(task.function)
    except Unsupported as error:
        reason = f"task {task.name}: {error}"
        raise CodeRefused(reason, file=source.shown, line=_line(found)) from None
    reached = reach.reached(source.module, modules)
    declared = Declaration(
        name=task.name,
        key=task.key,
        path=task.path,
        description=task.description,
        module=source.module,
        function=found.attribute,
        inputs=tuple(member.field for member in signature.inputs),
        outputs=signature.outputs,
        policies=task.policies,
        requirements=_requirements(found, reached, modules),
        fingerprint="",
    )
    code = reach.digest_of(folder, reached, modules)
    return msgspec.structs.replace(declared, fingerprint=_fingerprint(declared, code))


def _requirements(found: _Found, reached: frozenset[str], modules: Modules) -> tuple[str, ...]:
    """What the task's environment needs: all that is stated in the files it reaches.

    Other tasks of those files count too, since their modules are imported as a whole.
    """
    stated = merged(r for name in reached for r in _stated(modules[name]))
    unseen = [r for r in found.task.requirements if r not in stated and not is_own(r)]
    if unseen:
        reason = f"requirements= must be written out as a list of text; {unseen[0]!r} is not"
        raise CodeRefused(reason, file=found.parsed.source.shown, line=_line(found))
    return stated


def _fingerprint(declared: Declaration, code: str) -> str:
    digest = hashlib.sha256(msgspec.json.encode(declared))
    digest.update(code.encode())
    return digest.hexdigest()
