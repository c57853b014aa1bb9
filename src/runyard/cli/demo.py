"""`runyard demo`: a server on an empty folder, driven through what it can do."""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import runyard
from runyard.cli.exits import DONE, Misused
from runyard.cli.output import console

if TYPE_CHECKING:
    from runyard.cli.demo_outside import Outside
    from runyard.cli.demo_screen import Screen
    from runyard.server.app import Server
    from runyard.server.settings import Settings

EXAMPLES = Path(runyard.__file__).parents[2] / "examples"
USUAL_PORT = 7070
HOST = "127.0.0.1"


def demo(
    *,
    leave: Annotated[
        bool,
        Parameter(
            name="--exit", env_var="DEMO_EXIT", help="Stop the server at the end of the story."
        ),
    ] = False,
    whole: Annotated[
        bool, Parameter(help="Show every answer whole, not only what is new in it.")
    ] = False,
    data: Annotated[
        Path | None,
        Parameter(help="An empty folder for the server; a temporary one unless given."),
    ] = None,
    port: Annotated[int, Parameter(help="Port to listen on; another one if it is taken.")] = (
        USUAL_PORT
    ),
    examples: Annotated[
        Path, Parameter(help="Where the example tasks are.", show_default=False)
    ] = (EXAMPLES),
) -> int:
    """Show a server at work on real tasks: every request, answer and log line as it happens.

    The server stays up afterwards, for you to try, until Ctrl-C.
    """
    import uvloop

    if not examples.is_dir():
        raise Misused(f"There are no examples at {examples}: start the demo in a checkout.")
    from runyard.cli.demo_outside import Outside
    from runyard.cli.demo_screen import Screen

    with _folder(data) as folder, Outside(examples / "data") as outside:
        settings = _settings(folder, port, outside.allowance)
        screen = Screen(whole=whole)
        return uvloop.run(_shown(settings, examples, outside, screen, leave=leave))


async def _shown(
    settings: "Settings", examples: Path, outside: "Outside", screen: "Screen", *, leave: bool
) -> int:
    from runyard.cli.demo_story import Story
    from runyard.cli.joined import open_runyard
    from runyard.cli.stopping import stop_signals

    with stop_signals() as stopping:
        async with open_runyard(settings) as server:
            story = Story(server.url, settings.data, examples, outside, screen)
            is_told = await stopping.in_thread(story.tell)
            if is_told and not leave:
                await _invite(server)
                await stopping.wait_with(server)
            await stopping.second_or(server.stop())
    console().print("The server has stopped.")
    return DONE


async def _invite(server: "Server") -> None:
    from runyard.cli.serve import say_how_to_sign_in

    console().print(f"\nThe server stays up. Its console is at {server.url}/console", style="bold")
    console().print(f"Every request can be tried out at {server.url}/console/reference")
    if (link := await server.first_setup_url()) is not None:
        say_how_to_sign_in(link)
    console().print("Ctrl-C stops it and removes its data.")


def _settings(folder: Path, port: int, allowed: str) -> "Settings":
    from runyard.server.settings import read_settings

    given = {"data": folder, "host": HOST, "port": _free_port(port), "allow_outbound": allowed}
    # The demo is the same for everybody: nothing of it comes from the environment.
    return read_settings(given, {})


def _free_port(wanted: int) -> int:
    """The wanted port, or 0 (any) when somebody else listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            return 0
    return wanted


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    """The chosen folder, which must be empty, or a temporary one."""
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="runyard-demo-") as folder:
            yield Path(folder)
        return
    if chosen.exists() and any(chosen.iterdir()):
        raise Misused(f"{chosen} is not empty; the demo begins with an empty folder.")
    yield chosen
