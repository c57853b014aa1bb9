"""Tasks as files of a repository: their ids and paths. Pure but for the lists of tasks."""

from collections.abc import Iterable

from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused, TaskNotFound
from runyard.model.tasks import Task

ROOT = "Automation Anywhere"
_SEPARATOR = "\\"
_LONGEST_ID = 18


def path_of(task: Task) -> str:
    """The whole repository path, with backslashes."""
    return _SEPARATOR.join((ROOT, *task.path.split("/")))


def name_of(task: Task) -> str:
    """The last part of its path."""
    return task.path.rpartition("/")[2]


def found_by_path(tasks: Iterable[Task], path: str) -> Task | None:
    """The task at this path: exactly, else in another case, else with slashes or without the root."""
    by_path = {path_of(task): task for task in tasks}
    if path in by_path:
        return by_path[path]
    folded = {known.casefold(): task for known, task in by_path.items()}
    if path.casefold() in folded:
        return folded[path.casefold()]
    wanted = _plain(path)
    return next((task for known, task in by_path.items() if _plain(known) == wanted), None)


def _plain(path: str) -> str:
    path = path.replace("/", _SEPARATOR).strip(_SEPARATOR).casefold()
    return path.removeprefix(f"{ROOT.casefold()}{_SEPARATOR}")


def number_from(field: str, value: int | str) -> int:
    """An id that came as a number or as digits; raises InputRefused."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise InputRefused([FieldProblem(field=field, seen=repr(value), allowed="digits")])
    if len(text) > _LONGEST_ID:
        raise InputRefused([FieldProblem(field=field, seen=text[:40], allowed="at most 18 digits")])
    return int(text)


async def task_of(engine: Engine, company: Company, field: str, value: int | str) -> Task:
    """The task of this file id; raises TaskNotFound, InputRefused."""
    number = number_from(field, value)
    task = await engine.directory.task(company.id, str(number))
    if task.id != number:
        raise TaskNotFound(f"there is no file {number}")
    return task
