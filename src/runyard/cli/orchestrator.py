"""`runyard orchestrator`: a company's dispatch switch."""

from typing import TYPE_CHECKING

from cyclopts import App

from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import print_facts, print_json

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import Orchestrator

app = App(name="orchestrator", help="Hold runs back, and let them go.")


@app.command(help_epilogue="Example:\n  runyard orchestrator status --company acme")
def status(*, options: CompanyOptions = IN_COMPANY) -> None:
    """Show whether queued runs may start, and how many runs stand where."""
    with connect_company(options) as client:
        _print(client.orchestrator(), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard orchestrator pause --company acme")
def pause(*, options: CompanyOptions = IN_COMPANY) -> None:
    """Hold all queued runs of the company back. Begun ones go on."""
    with connect_company(options) as client:
        _print(client.pause(), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard orchestrator resume --company acme")
def resume(*, options: CompanyOptions = IN_COMPANY) -> None:
    """Let queued runs of the company start again."""
    with connect_company(options) as client:
        _print(client.resume(), as_json=options.json)


def _print(state: "Orchestrator", *, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    print_facts(
        (
            ("Orchestrator", "running" if state.runnable else "paused"),
            ("Queued", state.queued),
            ("Running", state.running),
            ("Scheduled", state.scheduled),
            ("Waiting", state.waiting),
            ("Parked", state.parked),
        )
    )
