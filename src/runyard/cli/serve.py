"""`runyard serve`: a server, with a worker in it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runyard.cli.exits import DONE, Misused
from runyard.cli.options import TOKEN_FILE
from runyard.cli.output import console

if TYPE_CHECKING:
    from runyard.server.app import Server
    from runyard.server.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The settings that are most often chosen; docs/settings.md has all."""

    data: Annotated[
        str | None,
        Parameter(help="Folder of everything the server keeps; ./runyard-data unless given."),
    ] = None
    database: Annotated[
        str | None,
        Parameter(help="A PostgreSQL database, as URL; else SQLite in the data folder."),
    ] = None
    host: Annotated[str | None, Parameter(help="Address to listen on; 127.0.0.1 unless given.")] = (
        None
    )
    port: Annotated[
        str | None, Parameter(help="Port to listen on; 7070 unless given, 0: any free one.")
    ] = None
    public_url: Annotated[
        str | None, Parameter(help="Where callers find it; absolute links begin with it.")
    ] = None
    tls_cert: Annotated[str | None, Parameter(help="Certificate chain, PEM.")] = None
    tls_key: Annotated[str | None, Parameter(help="Its private key, PEM.")] = None
    trust_proxy: Annotated[
        list[str] | None,
        Parameter(help="Network of proxies to trust, such as 10.0.0.0/8; may be repeated."),
    ] = None
    allow_outbound: Annotated[
        list[str] | None,
        Parameter(
            help="Private host, address or network that callbacks and file fetches may visit, "
            "such as 10.1.0.0/16:443; may be repeated."
        ),
    ] = None
    slots: Annotated[
        str | None,
        Parameter(help="Runs executed at once; one per CPU unless given, 0: no worker in it."),
    ] = None

    def settings(self) -> "Settings":
        """The settings from these options and the environment; raises Misused."""
        from runyard.server.settings import SettingsRefused, read_settings

        given = {
            name: ",".join(value) if isinstance(value, list) else value
            for name, value in asdict(self).items()
        }
        try:
            return read_settings(given)
        except SettingsRefused as error:
            lines = (
                f"  --{p.field.replace('_', '-')}: {p.seen}; allowed: {p.allowed}"
                if p.field.islower()
                else f"  {p.field}: {p.seen}; allowed: {p.allowed}"
                for p in error.problems
            )
            raise Misused("\n".join(("These settings do not fit:", *lines))) from error


USUAL = ServeOptions()


def serve(*, options: ServeOptions = USUAL) -> int:
    """Run a server, with a worker in it, until it is told to stop.

    Every option may also stand in the environment: RUNYARD_ and its name, as in RUNYARD_PORT.
    Ctrl-C or SIGTERM stops it: no new runs begin, running ones may finish, then it ends.
    """
    import uvloop

    settings = options.settings()
    return uvloop.run(_serve(settings))


async def _serve(settings: "Settings") -> int:
    from runyard.cli.joined import open_runyard
    from runyard.cli.stopping import stop_signals

    with stop_signals() as stopping:
        async with open_runyard(settings) as server:
            await _announce(server)
            await stopping.wait_with(server)
            console().print("Stopping. Running runs may finish; press Ctrl-C to end them now.")
            await stopping.second_or(server.stop())
    console().print("Stopped.")
    return DONE


async def _announce(server: "Server") -> None:
    settings = server.settings
    console().print(f"Runyard answers at {server.url}", style="bold")
    console().print(f"Console: {server.url}/console")
    if (link := await server.first_setup_url()) is not None:
        say_how_to_sign_in(link)
    token = settings.data / TOKEN_FILE
    if token.exists():  # not on the second server of a database, nor once it was taken away
        console().print(f"Administrator token: {token}")
    console().print("Ctrl-C stops it.")


def say_how_to_sign_in(link: str) -> None:
    """Prints the set-up link, whole, however narrow the terminal is."""
    console().print(
        "The console has no administrator yet. This link makes the first; it works once, for a day:"
    )
    console().print(f"  {link}", style="bold", soft_wrap=True)
