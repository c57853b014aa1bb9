"""`runyard schedule`: plans that start runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import Misused
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_json, print_table, shown, shown_duration
from runyard.cli.tasks import TaskRef
from runyard.cli.values import NO_INPUT, Inputs, moment, span

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import Schedule

app = App(name="schedule", help="Plan runs.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a schedule fires."""

    cron: Annotated[str | None, Parameter(help="Five fields.")] = None
    every: Annotated[
        str | None, Parameter(name=("--every", "--interval"), help="An interval, such as 15m.")
    ] = None
    at: Annotated[str | None, Parameter(help="Once, at this instant.")] = None
    time_zone: Annotated[
        str | None, Parameter(help="IANA name for --cron; the company's unless given.")
    ] = None

    def require_one(self) -> None:
        """Raises unless exactly one kind of rule is given."""
        if [self.cron, self.every, self.at].count(None) != 2:
            raise Misused("Give exactly one of --cron, --every and --at.")


NEVER = Rule()


@app.command(
    help_epilogue="Examples:\n"
    '  runyard schedule create "Zip code" nightly --cron "0 3 * * *" '
    "--time-zone Europe/Berlin -i zip=76131\n"
    '  runyard schedule create "Zip code" often --every 15m -i zip=76131\n'
    '  runyard schedule create "Zip code" once --at 2030-01-31T08:00:00Z -i zip=76131'
)
def create(
    task: TaskRef,
    /,
    name: Annotated[str, Parameter(help="Of the schedule; unique in the company.")],
    *,
    rule: Rule = NEVER,
    inputs: Inputs = NO_INPUT,
    priority: Annotated[int | None, Parameter(help="Of its runs: 1 to 99, lower first.")] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Create a schedule, by exactly one of --cron, --every and --at."""
    from runyard.sdk.client import NewSchedule

    rule.require_one()
    with connect_company(options) as client:
        schedule = client.create_schedule(
            NewSchedule(
                task=task,
                name=name,
                cron=rule.cron,
                interval=None if rule.every is None else span(rule.every),
                at=None if rule.at is None else moment(rule.at),
                time_zone=rule.time_zone,
                priority=priority,
                input=inputs.chosen(client, task),
            )
        )
    if options.json:
        print_json(schedule)
    else:
        console().print(
            f"Schedule {schedule.name} (id {schedule.id}) fires next at "
            f"{shown(schedule.next_fire_at)}."
        )


@app.command(name="list", help_epilogue="Example:\n  runyard schedule list --company acme")
def list_schedules(
    *,
    task: Annotated[str | None, Parameter(help="Only those of this task.")] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List schedules."""
    with connect_company(options) as client:
        schedules = client.schedules(task=task)
    if options.json:
        print_json(schedules)
        return
    print_table(
        ("Id", "Name", "Task", "Fires", "Next", "Last", "Enabled"),
        (
            (s.id, s.name, s.task.name, _rule(s), s.next_fire_at, s.last_fire_at, s.enabled)
            for s in schedules
        ),
        empty="There are no schedules.",
    )


@app.command(help_epilogue="Example:\n  runyard schedule delete nightly --company acme")
def delete(
    schedule: Annotated[str, Parameter(help="Name or id.")],
    /,
    *,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """End a schedule. Runs that it has started stay."""
    with connect_company(options) as client:
        client.delete_schedule(schedule)
    if options.json:
        print_json({"schedule": schedule, "deleted": True})
    else:
        console().print(f"Schedule {schedule} is deleted.")


def _rule(schedule: "Schedule") -> str:
    if schedule.cron is not None:
        return f"{schedule.cron} ({schedule.time_zone})"
    if schedule.interval is not None:
        return f"every {shown_duration(schedule.interval)}"
    return "once"
