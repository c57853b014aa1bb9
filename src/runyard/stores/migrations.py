"""Bringing a database forward to the schema of this release.

Migrations are numbered `.sql` files, applied once, in order, each in a transaction together with
its row in `migrations`. They only go forward: a database that is newer than the code is refused.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from runyard.model.errors import RunyardError

_FILE_NAME = re.compile(r"(\d{4})_([a-z_]+)\.sql")


class Migration(msgspec.Struct, frozen=True, array_like=True):
    """One step of the schema."""

    number: int
    name: str
    sql: str


class SchemaTooNew(RunyardError):
    """The database was written by a newer release."""


def load_migrations(folder: Path) -> list[Migration]:
    """The migrations of a folder, in order; their numbers run from 1 without a gap."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named like 0001_words.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations in {folder.name} are not numbered 1, 2, 3 ...")
    return found


def missing_migrations(
    migrations: Sequence[Migration], applied: Iterable[int]
) -> Sequence[Migration]:
    """Those still to be applied; raises SchemaTooNew when the database knows more than the code."""
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise SchemaTooNew(
            f"the database has schema {newest}, this release knows schemas up to"
            f" {len(migrations)}: install the release that wrote it, or a newer one"
        )
    return migrations[newest:]
