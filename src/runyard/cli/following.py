"""Shows a run's log lines as they come, until it ends."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status

from runyard.cli.output import print_line, shown
from runyard.model.states import RunState
from runyard.sdk.client.shapes import Resync, RunLines, RunProgressed

if TYPE_CHECKING:
    from runyard.sdk.client import Client, Run


def follow(client: "Client", run_id: int, to: Console, *, after_line: int = 0) -> None:
    """Prints log lines after the given one, and returns once the run is final."""
    from runyard.sdk.client import StateChanged

    known = after_line
    with to.status("") as status:
        for event in client.events(run_id, after_line=after_line):
            match event:
                case RunLines(lines=lines):
                    for line in lines:
                        print_line(line, to)
                        known = line.number
                case StateChanged(run=run):
                    _show_state(run, status, to)
                case RunProgressed(done=done, total=total):
                    status.update(f"{done:g}" + ("" if total is None else f" of {total:g}"))
                case Resync():
                    known = print_stored(client, run_id, to, after_line=known)


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


def _show_state(run: "Run", status: Status, to: Console) -> None:
    status.update(run.state.value)
    if run.state is RunState.SCHEDULED and run.attempt:
        at = shown(run.due_at)
        to.print(f"Attempt {run.attempt} failed; the next one begins at {at}.", style="yellow")
