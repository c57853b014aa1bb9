"""`runyard task`: registered code."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import DONE, FAILED
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_facts, print_json, print_table
from runyard.cli.signatures import type_text

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import KillReport, Task, TaskField

app = App(name="task", help="See and steer tasks.")

TaskRef = Annotated[str, Parameter(name="TASK", help="Name, id, uuid or public id.")]


@app.command(name="list", help_epilogue="Example:\n  runyard task list --company acme")
def list_tasks(
    *,
    withdrawn: Annotated[bool, Parameter(help="Also those that are no longer deployed.")] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List the tasks of a company."""
    with connect_company(options) as client:
        tasks = client.tasks(include_withdrawn=withdrawn)
    if options.json:
        print_json(tasks)
        return
    print_table(
        ("Id", "Name", "Path", "Version", "Runnable", "Bundle"),
        ((t.id, t.name, t.path, t.version, _condition(t), t.bundle) for t in tasks),
        empty="There are no tasks yet. Deploy some: runyard deploy PATH",
    )


@app.command(help_epilogue='Example:\n  runyard task show "Zip code" --company acme --json')
def show(task: TaskRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Show one task with its inputs and outputs."""
    with connect_company(options) as client:
        found = client.task(task)
    if options.json:
        print_json(found)
        return
    policies = found.policies
    print_facts(
        (
            ("Task", found.name),
            ("Path", found.path),
            ("Description", found.description),
            ("Id", found.id),
            ("Public id", found.public_id),
            ("UUID", str(found.uuid)),
            ("Version", found.version),
            ("Runnable", _condition(found)),
            ("Timeout", policies.timeout),
            ("Retries", policies.retry.retries or None),
            ("Concurrency", policies.concurrency),
            ("Priority", policies.priority),
            ("Labels", ", ".join(policies.labels)),
            ("Requirements", ", ".join(found.requirements)),
        )
    )
    _print_fields("Input", found.inputs, empty="\nIt takes no input.")
    _print_fields("Output", found.outputs, empty="\nIt returns no data.")


@app.command(
    help_epilogue="Examples:\n"
    '  runyard task set-runnable "Zip code" false --company acme\n'
    '  runyard task set-runnable "Zip code" true --company acme'
)
def set_runnable(
    task: TaskRef,
    runnable: Annotated[bool, Parameter(help="true or false.")],
    /,
    *,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Let a task be started, or not."""
    with connect_company(options) as client:
        changed = client.set_runnable(task, runnable)
    if options.json:
        print_json(changed)
    else:
        console().print(f"{changed.name} is {_condition(changed)}.")


@app.command(help_epilogue='Example:\n  runyard task kill "Zip code" --company acme')
def kill(task: TaskRef, /, *, options: CompanyOptions = IN_COMPANY) -> int:
    """End all running runs of a task."""
    with connect_company(options) as client:
        report = client.kill_task(task)
    return print_kill(report, as_json=options.json)


@app.command(help_epilogue='Example:\n  runyard task clean "Zip code" --company acme')
def clean(task: TaskRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Cancel all queued runs of a task. Running ones go on."""
    with connect_company(options) as client:
        cancelled = client.clean_task(task)
    if options.json:
        print_json({"cancelled": cancelled})
    else:
        console().print(f"{cancelled} queued runs were cancelled.")


def print_kill(report: "KillReport", *, as_json: bool) -> int:
    """Prints what became of a kill; the exit code."""
    if as_json:
        print_json(report)
    else:
        console().print(f"{len(report.killed)} runs were killed.")
        if not report.confirmed:
            ids = ", ".join(map(str, report.unconfirmed))
            console().print(f"Their workers could not be reached, nothing is certain of: {ids}")
    return DONE if report.confirmed else FAILED


def _condition(task: "Task") -> str:
    if task.withdrawn:
        return "withdrawn"
    return "runnable" if task.runnable else "not runnable"


def _print_fields(heading: str, fields: Iterable["TaskField"], *, empty: str) -> None:
    console().print()
    print_table(
        (heading, "Type", "Required", "Default", "Title", "Help"),
        (
            (
                field.name,
                type_text(field.type),
                field.required,
                bytes(field.default).decode() if field.default else "",
                field.title if field.title != field.name else "",
                field.help,
            )
            for field in fields
        ),
        empty=empty.strip(),
    )
