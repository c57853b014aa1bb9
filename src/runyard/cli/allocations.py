"""`runyard allocation`: tasks kept warm for real-time calls."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_facts, print_json, print_table, shown_duration
from runyard.cli.tasks import TaskRef
from runyard.cli.values import span
from runyard.model.allocations import Overflow, Recording

if TYPE_CHECKING:
    from runyard.sdk.client import AllocationChange
    from runyard.sdk.client.shapes import Allocation

app = App(name="allocation", help="Keep tasks warm for calls.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a task is kept warm."""

    limit: Annotated[int, Parameter(help="Calls at once, and children kept for them.")] = 1
    overflow: Annotated[
        Overflow, Parameter(help="What becomes of a call when all of them are at work.")
    ] = Overflow.REJECT
    wait: Annotated[str | None, Parameter(help="How long a call may wait for one: 500ms.")] = None
    deadline: Annotated[str | None, Parameter(help="How long a call may take: 30s.")] = None
    recording: Annotated[Recording, Parameter(help="Which calls are kept as runs.")] = Recording.ALL
    retention: Annotated[str | None, Parameter(help="How long they are kept: 24h.")] = None

    def chosen(self) -> "AllocationChange":
        """What the client understands."""
        from runyard.sdk.client import AllocationChange

        spans = {"wait": self.wait, "deadline": self.deadline, "retention": self.retention}
        return AllocationChange(
            limit=self.limit,
            overflow=self.overflow,
            recording=self.recording,
            **{name: span(text) for name, text in spans.items() if text is not None},
        )


USUAL = Choices()


@app.command(
    help_epilogue="Examples:\n"
    '  runyard allocation create "Zip code" --limit 4 --company acme\n'
    '  runyard allocation create "Zip code" --limit 4 --overflow wait --wait 500ms --company acme'
)
def create(
    task: TaskRef, /, *, choices: Choices = USUAL, options: CompanyOptions = IN_COMPANY
) -> None:
    """Keep a task warm, or change how: what is not given is as usual."""
    with connect_company(options) as client:
        allocation = client.allocate(task, choices.chosen())
    if options.json:
        print_json(allocation)
    else:
        console().print(f"Task {allocation.task.name} is kept warm, {allocation.limit} at once.")


@app.command(name="list", help_epilogue="Example:\n  runyard allocation list --company acme")
def list_allocations(*, options: CompanyOptions = IN_COMPANY) -> None:
    """List the tasks that are kept warm."""
    with connect_company(options) as client:
        allocations = client.allocations()
    if options.json:
        print_json(allocations)
        return
    print_table(
        ("Task", "Limit", "Overflow", "Children", "In flight", "Calls", "p50", "p99", "Server"),
        ((*_row(a), a.children, a.in_flight, a.calls, a.p50, a.p99, a.server) for a in allocations),
        empty="No task is kept warm.",
    )


@app.command(help_epilogue='Example:\n  runyard allocation show "Zip code" --company acme')
def show(task: TaskRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Show how a task is kept warm, and how long its calls take."""
    with connect_company(options) as client:
        allocation = client.allocation(task)
    if options.json:
        print_json(allocation)
        return
    error = allocation.error
    print_facts(
        (
            ("Task", allocation.task.name),
            ("Limit", allocation.limit),
            ("Overflow", _overflow(allocation)),
            ("Deadline", allocation.deadline),
            ("Recording", f"{allocation.recording}, for {shown_duration(allocation.retention)}"),
            ("Server", allocation.server or "none: no worker is there that could keep it"),
            ("Version", allocation.version),
            ("Children", allocation.children),
            ("Memory", f"{allocation.memory / 1048576:.1f} MiB"),
            ("In flight", f"{allocation.in_flight}, {allocation.waiting} waiting"),
            ("Calls", allocation.calls),
            ("Problem", None if error is None else f"{error.kind}: {error.message}"),
        )
    )
    for latency in allocation.latencies:
        bound = "longer" if latency.up_to is None else f"up to {_short(latency.up_to)}"
        console().print(f"  {bound:<16} {latency.count}")


@app.command(help_epilogue='Example:\n  runyard allocation delete "Zip code" --company acme')
def delete(task: TaskRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Keep a task warm no longer; calls that execute are finished."""
    with connect_company(options) as client:
        client.release_allocation(task)
    if options.json:
        print_json({"task": task, "deleted": True})
    else:
        console().print(f"Task {task} is no longer kept warm.")


def _row(allocation: "Allocation") -> tuple[object, ...]:
    return allocation.task.name, allocation.limit, _overflow(allocation)


def _overflow(allocation: "Allocation") -> str:
    if allocation.overflow is Overflow.WAIT:
        return f"wait {shown_duration(allocation.wait)}"
    return allocation.overflow.value


def _short(duration: timedelta) -> str:
    millis = duration.total_seconds() * 1000
    return f"{millis:g} ms" if millis < 1000 else f"{millis / 1000:g} s"
