"""`runyard db`: look after the database."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.output import console, print_json
from runyard.cli.serve import ServeOptions

if TYPE_CHECKING:
    from runyard.server.settings import Settings
    from runyard.stores.base import StoreStatistics

app = App(name="db", help="Look after the database.")


@app.command(
    help_epilogue="Examples:\n"
    "  runyard db migrate --data ./runyard-data\n"
    "  runyard db migrate --database postgresql://runyard@db.example.org/runyard"
)
def migrate(
    *,
    data: Annotated[
        str | None,
        Parameter(
            env_var="RUNYARD_DATA", help="The server's data folder; ./runyard-data unless given."
        ),
    ] = None,
    database: Annotated[
        str | None,
        Parameter(
            env_var="RUNYARD_DATABASE", help="A PostgreSQL database, as URL; else SQLite there."
        ),
    ] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False,
) -> None:
    """Bring the database to the schema of this release; make it when there is none.

    A server does the same when it starts. A database of a newer release is refused.
    """
    import uvloop

    settings = ServeOptions(data=data, database=database).settings()
    found = uvloop.run(_migrated(settings))
    if json:
        print_json({"kind": found.kind, "schema_version": found.schema_version})
    else:
        console().print(f"The database ({found.kind}) has schema {found.schema_version}.")


async def _migrated(settings: "Settings") -> "StoreStatistics":
    from runyard.server.app import open_store, prepare_folder

    prepare_folder(settings.data)
    async with open_store(settings) as store:
        return await store.statistics()
