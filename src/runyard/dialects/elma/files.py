"""Files that tasks return, by the names under which they are downloaded."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from runyard.engine.engine import Engine
from runyard.engine.files import references_in
from runyard.model.companies import Company
from runyard.model.files import StoredFile
from runyard.model.ids import FileId, RunId


async def files_of(
    engine: Engine, company: Company, run: RunId, output: bytes | None
) -> list[StoredFile]:
    """What a run returned: files of its own, then those that it was given and passed on."""
    files = await engine.files.of_run(company.id, run)
    own = {file.id for file in files}
    passed_on = [file for file in references_in(output or b"{}") if file not in own]
    return [*files, *[await engine.files.load(company.id, file) for file in passed_on]]


def names_of(files: Iterable[StoredFile]) -> dict[FileId, str]:
    """A name for each: its own, and for those that share one `name (2).ext` and so on, in order."""
    files = list(files)
    taken: set[str] = set()
    own = {file.name for file in files}
    found: dict[FileId, str] = {}
    for file in files:
        name, number = file.name, 1
        while name in taken or (number > 1 and name in own):
            number += 1
            name = _numbered(file.name, number)
        taken.add(name)
        found[file.id] = name
    return found


def _numbered(name: str, number: int) -> str:
    path = PurePosixPath(name)
    return f"{path.stem} ({number}){path.suffix}"
