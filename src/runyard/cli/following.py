"""Shows a run's log lines as they come, until it ends."""

from typing import TYPE_CHECKING

from rich.console import Console

from runyard.cli.output import print_line
from runyard.sdk.client.shapes import Resync, RunLines

if TYPE_CHECKING:
    from runyard.sdk.client import Client


def follow(client: "Client", run_id: int, to: Console, *, after_line: int = 0) -> None:
    """Prints log lines after the given one, and returns once the run is final."""
    known = after_line
    for event in client.events(run_id, after_line=after_line):
        match event:
            case RunLines(lines=lines):
                for line in lines:
                    print_line(line, to)
                    known = line.number
            case Resync():
                known = print_stored(client, run_id, to, after_line=known)
            case _:
                pass


def print_stored(
    client: "Client", run_id: int | str, to: Console, *, level: str | None = None, after_line: int
) -> int:
    """Prints the stored log lines after the given one; the number of the last."""
    while True:
        page = client.logs(run_id, level=level, after=after_line)
        for line in page.lines:
            print_line(line, to)
        if not page.lines:
            if page.dropped:
                to.print(f"{page.dropped} more lines were not kept.", style="yellow")
            return after_line
        after_line = page.next_after
