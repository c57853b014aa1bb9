"""Copies of a whole installation: taken, brought back, moved to another database."""

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

import runyard
from runyard.model.errors import Conflict
from runyard.server.app import build_store, known_schemas, read_stopped_store, read_store
from runyard.server.settings import Settings
from runyard.stores.backup_format import Manifest
from runyard.stores.backup_reader import opened_backup
from runyard.stores.backup_writer import Origin, new_backup
from runyard.stores.folder import MOVED, write_durably
from runyard.stores.transfer import Carried, Progress, carry


class SamePlace(Conflict):
    """The database is there already."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that is a store again."""

    manifest: Manifest
    carried: Carried


class BackupOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be known of a backup, and to be in it."""

    now: datetime
    takes_keys: bool = False
    """Whether `admin.token`, `master.key` and the like come along."""


def back_up(
    settings: Settings, target: Path, options: BackupOptions, progress: Progress
) -> Manifest:
    """Write a backup of the store, which may be in use, to a new folder or tar file.

    Whatever was acknowledged before is in it.
    """
    origin = Origin(
        release=runyard.__version__,
        taken_at=options.now,
        schemas=known_schemas(),
        takes_files=options.takes_keys,
    )
    with new_backup(target) as backup, read_store(settings, backup.scratch) as source:
        return backup.write(source, origin, progress)


def verify(place: Path, progress: Progress) -> Manifest:
    """Add up a backup; raises BackupDamaged unless all of it is what its manifest says."""
    with opened_backup(place) as backup:
        backup.verify(progress)
    return backup.manifest


def restore(settings: Settings, place: Path, progress: Progress) -> Restored:
    """Make a store of a backup in an empty place. Leases of before are void in it."""
    with opened_backup(place) as backup:
        backup.verify(progress)
        with build_store(settings) as target:
            carried = carry(backup, target, backup.manifest.schemas, progress)
            target.void_leases()
            target.complete()
    return Restored(manifest=backup.manifest, carried=carried)


def move(settings: Settings, to: Settings, now: datetime, progress: Progress) -> Carried:
    """Carry the store, which no server uses, to an empty place; the old one says where it went."""
    if _is_same(settings, to):
        raise SamePlace(f"the database is at {place_of(to)} already")
    with read_stopped_store(settings) as source, build_store(to, keeps=settings.data) as target:
        carried = carry(source, target, known_schemas(), progress)
        target.complete()
        if settings.database is None:
            note = f"to {place_of(to)}, at {now:%Y-%m-%d %H:%M:%S} UTC\n"
            write_durably(settings.data / MOVED, note.encode())
    return carried


def place_of(settings: Settings) -> str:
    """Where a database is; nothing of it is a secret."""
    if settings.database is None:
        return str(settings.data.resolve())
    parts = urlsplit(settings.database)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _is_same(one: Settings, other: Settings) -> bool:
    if one.database is not None or other.database is not None:
        return one.database == other.database
    return one.data.resolve() == other.data.resolve()
