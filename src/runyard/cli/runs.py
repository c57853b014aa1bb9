"""`runyard run`: start, follow and steer runs."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import DONE, FAILED
from runyard.cli.following import follow, print_stored
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import (
    console,
    print_json,
    print_table,
    remarks,
    state_text,
)
from runyard.cli.run_options import ALL_RUNS, AS_USUAL, FilterOptions, StartOptions
from runyard.cli.run_page import print_run
from runyard.cli.tasks import TaskRef
from runyard.cli.values import NO_INPUT, Inputs, span
from runyard.model.states import RunState

if TYPE_CHECKING:
    from runyard.sdk.client import Run

app = App(name="run", help="Start, follow and steer runs.")

RunRef = Annotated[str, Parameter(name="RUN", help="Id or public id.")]
Level = Annotated[
    str | None,
    Parameter(help="Lowest level shown: trace, debug, info, warning, error or fatal."),
]
Timeout = Annotated[str | None, Parameter(help="How long to wait at most: 5m.")]


@app.command(
    help_epilogue="Examples:\n"
    '  runyard run start "Zip code" --company acme -i zip=76131 --wait --json\n'
    '  runyard run start "CSV report" --company acme -i table=@sales.csv --wait\n'
    '  runyard run start "Zip code" --company acme -i zip=76131 '
    "--callback https://shop.example.com/hooks/runyard\n"
    '  echo \'{"zip": "76131"}\' | runyard run start "Zip code" --company acme --input -'
)
def start(
    task: TaskRef,
    /,
    *,
    inputs: Inputs = NO_INPUT,
    wait: Annotated[
        bool, Parameter(help="Show its log until it ends; exit code 1 when it fails.")
    ] = False,
    start_options: StartOptions = AS_USUAL,
    options: CompanyOptions = IN_COMPANY,
) -> int:
    """Start a run of a task."""
    with connect_company(options) as client:
        started = client.start(
            task,
            inputs.chosen(client, task),
            priority=start_options.priority,
            due_at=start_options.due,
            parked=start_options.parked,
            at_once=start_options.at_once,
            callbacks=start_options.callback or (),
            key=start_options.key,
        )
        if wait:
            remarks().print(f"Run {started.id} ({started.public_id})", style="dim")
            try:
                follow(client, started.id, remarks())
            except KeyboardInterrupt:
                remarks().print(f"The run goes on; see: runyard run logs {started.id} --follow")
                raise
            return _print_ended(client.run(started.id), as_json=options.json)
        if options.json:
            print_json(client.run(started.id))
        else:
            why = ": no slot was free" if started.state is RunState.FAILED else ""
            console().print(f"Run {started.id} ({started.public_id}) is {started.state}{why}.")
    return FAILED if started.state is RunState.FAILED else DONE


@app.command(
    name="list",
    help_epilogue="Examples:\n"
    "  runyard run list --company acme --state failed --limit 20\n"
    '  runyard run list --company acme --task "Zip code" --created-from 2026-01-31 --json',
)
def list_runs(
    *,
    filters: FilterOptions = ALL_RUNS,
    limit: Annotated[int, Parameter(help="Most runs shown, up to 500.")] = 25,
    after: Annotated[str | None, Parameter(help="`next` of the page before.")] = None,
    values: Annotated[bool, Parameter(help="With input and outputs.")] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List runs, newest first."""
    with connect_company(options) as client:
        page = client.runs(filters.chosen(), limit=limit, after=after, values=values)
    if options.json:
        print_json(page)
        return
    extra = ("Input", "Outputs") if values else ()
    print_table(
        ("Id", "Task", "State", "Cause", "Created", "Took", *extra),
        (_row(run, with_values=values) for run in page.items),
        empty="There are no such runs." if page.next is None else "None so far; go on.",
    )
    if page.next is not None:
        about = "" if page.total_is_exact else "more than "
        console().print(f"Of {about}{page.total}. Next page: --after {page.next}", style="dim")


@app.command(help_epilogue="Example:\n  runyard run show 17 --company acme")
def show(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Show one run with its input, outputs, error and attempts."""
    with connect_company(options) as client:
        found = client.run(run)
    if options.json:
        print_json(found)
    else:
        print_run(found)


@app.command(
    help_epilogue="Examples:\n"
    "  runyard run logs 17 --company acme --level warning\n"
    "  runyard run logs 17 --company acme --follow"
)
def logs(
    run: RunRef,
    /,
    *,
    level: Level = None,
    after: Annotated[int, Parameter(help="Only lines after this number.")] = 0,
    follow_on: Annotated[
        bool, Parameter(name=("--follow", "-f"), help="Go on until the run ends.")
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Show the log of a run."""
    with connect_company(options) as client:
        if options.json:
            print_json(client.logs(run, level=level, after=after))
        elif follow_on:
            follow(client, client.run(run).id, console(), after_line=after)
        else:
            print_stored(client, run, console(), level=level, after_line=after)


@app.command(help_epilogue="Example:\n  runyard run wait 17 --company acme --timeout 5m")
def wait(run: RunRef, /, *, timeout: Timeout = None, options: CompanyOptions = IN_COMPANY) -> int:
    """Wait until a run ends. Exit code 1 when it fails, or has not ended in time."""
    patience: timedelta | None = None if timeout is None else span(timeout)
    with connect_company(options) as client:
        return _print_ended(client.wait(run, patience), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard run cancel 17 --company acme")
def cancel(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """End a run, whatever its state; a running one is killed."""
    with connect_company(options) as client:
        _print_changed(client.cancel(run), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard run kill 17 --company acme")
def kill(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> int:
    """End a running run; done once none of its code executes any more."""
    with connect_company(options) as client:
        report = client.kill(run)
    if options.json:
        print_json(report)
    elif report.confirmed:
        console().print(f"Run {report.run.id} was killed.")
    else:
        console().print("Its worker could not be reached: the run may go on until its lease ends.")
    return DONE if report.confirmed else FAILED


@app.command(help_epilogue="Example:\n  runyard run restart 17 --company acme --same-version")
def restart(
    run: RunRef,
    /,
    *,
    parked: Annotated[bool, Parameter(help="Hold the new run until it is released.")] = False,
    same_version: Annotated[
        bool, Parameter(help="Of the version of the old run instead of the current one.")
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Start a new run with the same input."""
    with connect_company(options) as client:
        restarted = client.restart(run, parked=parked, same_version=same_version)
    _print_changed(restarted, as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard run park 17 --company acme")
def park(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Hold a run that has not begun."""
    with connect_company(options) as client:
        _print_changed(client.park(run), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard run release 17 --company acme")
def release(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Let a parked run into the queue."""
    with connect_company(options) as client:
        _print_changed(client.release(run), as_json=options.json)


@app.command(help_epilogue="Example:\n  runyard run explain 17 --company acme")
def explain(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Say why a run is not running, and what would change that."""
    with connect_company(options) as client:
        reasons = client.explain(run)
    if options.json:
        print_json(reasons)
    else:
        print_table(
            ("Why", "What clears it", "Runs"),
            ((r.text, r.action, ", ".join(map(str, r.run_ids))) for r in reasons),
            empty="Nothing holds it back.",
        )


@app.command(help_epilogue="Example:\n  runyard run history 17 --company acme")
def history(run: RunRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Tell what happened to a run, moment by moment."""
    with connect_company(options) as client:
        found = client.history(run)
    if options.json:
        print_json(found)
        return
    print_table(
        ("At", "State", "Cause", "Attempt", "Note"),
        ((m.at, state_text(m.state), m.cause, m.attempt or None, m.note) for m in found.moments),
        empty="Nothing is known of it.",
    )


@app.command(
    help_epilogue="Examples:\n"
    "  runyard run files 17 --company acme\n"
    "  runyard run files 17 --company acme --to ./results"
)
def files(
    run: RunRef,
    /,
    *,
    to: Annotated[Path | None, Parameter(help="Folder to write their content to.")] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List the files that a run has returned, or fetch them."""
    with connect_company(options) as client:
        found = client.run_files(run)
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
            for file in found:
                client.download(file.id, to / file_name(file.name, file.id))
    if options.json:
        print_json(found)
        return
    print_table(
        ("Id", "Name", "Type", "Bytes", *(() if to is None else ("Written to",))),
        (
            (
                file.id,
                file.name,
                file.content_type,
                file.size,
                *(() if to is None else (str(to / file_name(file.name, file.id)),)),
            )
            for file in found
        ),
        empty="It has returned no files.",
    )


def file_name(name: str, file_id: int) -> str:
    """A name to write a file under: a server must not choose where on this machine."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    return f"file-{file_id}" if plain in ("", ".", "..") or "\0" in plain else plain


def _print_ended(run: "Run", *, as_json: bool) -> int:
    """Prints a run that was waited for; the exit code."""
    if as_json:
        print_json(run)
    else:
        print_run(run)
    return DONE if run.has_succeeded else FAILED


def _print_changed(run: "Run", *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        console().print(f"Run {run.id} ({run.public_id}) is {run.state}.")


def _row(run: "Run", *, with_values: bool) -> tuple[object, ...]:
    values = (run.input, run.outputs) if with_values else ()
    return (
        run.id,
        run.task.name,
        state_text(run.state),
        run.cause,
        run.created_at,
        run.duration,
        *values,
    )
