"""`runyard db`: look after the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from runyard.cli.exits import DONE, FAILED
from runyard.cli.output import console, print_json, remarks
from runyard.cli.serve import ServeOptions

if TYPE_CHECKING:
    from runyard.server.settings import Settings
    from runyard.stores.contract.store import StoreStatistics
    from runyard.stores.transfer import Carried

app = App(name="db", help="Look after the database.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """Which database."""

    data: Annotated[
        str | None,
        Parameter(
            env_var="RUNYARD_DATA", help="The server's data folder; ./runyard-data unless given."
        ),
    ] = None
    database: Annotated[
        str | None,
        Parameter(
            env_var="RUNYARD_DATABASE", help="A PostgreSQL database, as URL; else SQLite there."
        ),
    ] = None
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False

    def settings(self) -> "Settings":
        """The settings of a server with these."""
        return ServeOptions(data=self.data, database=self.database).settings()


USUAL = DatabaseOptions()


@app.command(
    help_epilogue="Examples:\n"
    "  runyard db migrate --data ./runyard-data\n"
    "  runyard db migrate --database postgresql://runyard@db.example.org/runyard"
)
def migrate(*, options: DatabaseOptions = USUAL) -> None:
    """Bring the database to the schema of this release; make it when there is none.

    A server does the same when it starts. A database of a newer release is refused.
    """
    import uvloop

    found = uvloop.run(_migrated(options.settings()))
    if options.json:
        print_json({"kind": found.kind, "schema_version": found.schema_version})
    else:
        console().print(f"The database ({found.kind}) has schema {found.schema_version}.")


@app.command(
    help_epilogue="Examples:\n"
    "  runyard db backup /backup/runyard-2026-03-01.tar --data ./runyard-data\n"
    "  runyard db backup /backup/today --database postgresql://runyard@db.example.org/runyard"
)
def backup(
    target: Path,
    *,
    with_keys: Annotated[
        bool, Parameter(help="Take admin.token, master.key and the like along as well.")
    ] = False,
    options: DatabaseOptions = USUAL,
) -> int:
    """Write a backup of everything: database, logs, blobs. The server may be running.

    Args:
        target: A new folder; or a new file, when its name ends in .tar.

    Everything that was acknowledged before is in it, as it was at one instant. It has its name only
    when all of it is on disk, with checksums. Small files of the data folder are keys to what is in
    it and stay out, unless --with-keys takes them along: keep copies of them elsewhere. Exit code 1
    when a blob that the database names was not there to be copied.
    """
    from runyard.engine.clock import SystemClock
    from runyard.server.copies import BackupOptions, back_up

    chosen = BackupOptions(now=SystemClock().now(), takes_keys=with_keys)
    manifest = back_up(options.settings(), target.absolute(), chosen, _progress)
    if manifest.left_out:
        remarks().print(f"Left out: {', '.join(manifest.left_out)}. Keep copies elsewhere.")
    facts = {"backup": str(target), "kind": manifest.kind, "taken_at": manifest.taken_at}
    return _told(f"{target} is complete", facts, manifest.carried, json=options.json)


@app.command(help_epilogue="Example:\n  runyard db verify /backup/runyard-2026-03-01.tar")
def verify(
    source: Path, *, json: Annotated[bool, Parameter(help="Print one JSON document.")] = False
) -> int:
    """Add up every checksum of a backup, as a restore would; needs no server and no database.

    Args:
        source: A folder or file that `runyard db backup` wrote.
    """
    from runyard.server.copies import verify as verified

    manifest = verified(source.absolute(), _progress)
    facts = {"backup": str(source), "kind": manifest.kind, "taken_at": manifest.taken_at}
    what = f"{source} is whole, taken at {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    return _told(what, facts, manifest.carried, json=json)


@app.command(
    help_epilogue="Examples:\n"
    "  runyard db restore /backup/runyard-2026-03-01.tar --data ./runyard-data\n"
    "  runyard db restore /backup/today --database postgresql://runyard@db.example.org/runyard"
)
def restore(source: Path, *, options: DatabaseOptions = USUAL) -> int:
    """Make a store of a backup, in an empty place only, of either kind of database.

    Args:
        source: A folder or file that `runyard db backup` wrote.

    All checksums are compared first. Runs that were running when the backup was taken run again;
    nothing that a worker still reports of them counts. One that breaks off leaves nothing that a
    server would open; run it again, it starts over.
    """
    from runyard.server.copies import place_of
    from runyard.server.copies import restore as restored

    settings = options.settings()
    done = restored(settings, source.absolute(), _progress)
    if done.manifest.left_out:
        names = ", ".join(done.manifest.left_out)
        remarks().print(
            f"Not in the backup: {names}. Put your copies into {settings.data} before a server starts."
        )
    facts = {
        "restored_to": place_of(settings),
        "kind": done.manifest.kind,
        "taken_at": done.manifest.taken_at,
    }
    return _told(f"{place_of(settings)} is restored", facts, done.carried, json=options.json)


@app.command(
    help_epilogue="Examples:\n"
    "  runyard db move --data ./runyard-data --to postgresql://runyard@db.example.org/runyard\n"
    "  runyard db move --database postgresql://runyard@db.example.org/runyard --to ./new-data"
)
def move(
    *,
    to: Annotated[str, Parameter(help="An empty PostgreSQL database, as URL, or an empty folder.")],
    options: DatabaseOptions = USUAL,
) -> int:
    """Carry a stopped server's database to another place, of either kind.

    Counts and checksums of every table are compared at the end; ids stay. The old database stays as
    it is, and an SQLite one is marked, so that no server opens it by mistake. A move that breaks off
    leaves nothing that a server would open; run it again, it starts over.
    """
    from runyard.engine.clock import SystemClock
    from runyard.server.copies import move as moved
    from runyard.server.copies import place_of

    settings = options.settings()
    is_url = "://" in to
    place = ServeOptions(
        data=str(settings.data) if is_url else to, database=to if is_url else None
    ).settings()
    if not is_url:
        place = _without_database(place)
    carried = moved(settings, place, SystemClock().now(), _progress)
    facts = {"moved_from": place_of(settings), "moved_to": place_of(place)}
    return _told(
        f"{place_of(settings)} was moved to {place_of(place)}", facts, carried, json=options.json
    )


def _without_database(settings: "Settings") -> "Settings":
    # The environment may name the database that is left.
    from dataclasses import replace

    return replace(settings, database=None)


def _progress(word: str) -> None:
    remarks().print(word, style="dim")


def _told(what: str, facts: Mapping[str, Any], carried: "Carried", *, json: bool) -> int:
    """Says what was carried; the exit code."""
    if json:
        print_json({**facts, **_counts(carried)})
    else:
        console().print(
            f"{what}: {carried.rows:,} rows in {len(carried.tables)} tables, "
            f"{carried.blobs:,} blobs ({carried.blob_bytes:,} bytes)."
        )
    for digest in carried.missing_blobs:
        remarks().print(f"Missing: the blob {digest}, which the database names, is not there.")
    return FAILED if carried.missing_blobs else DONE


def _counts(carried: "Carried") -> dict[str, Any]:
    return {
        "rows": carried.rows,
        "tables": dict(carried.tables),
        "blobs": carried.blobs,
        "blob_bytes": carried.blob_bytes,
        "missing_blobs": carried.missing_blobs,
        "files": carried.files,
    }


async def _migrated(settings: "Settings") -> "StoreStatistics":
    from runyard.server.app import open_store, prepare_folder

    prepare_folder(settings.data)
    async with open_store(settings) as store:
        return await store.statistics()
