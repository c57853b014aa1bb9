"""The options of `runyard run` that belong together."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from runyard.cli.values import moment
from runyard.model.states import Cause, RunState, Trigger

if TYPE_CHECKING:
    from runyard.sdk.client import RunFilter

FILTERS = Group("Filters", sort_key=10)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """How a run is started."""

    priority: Annotated[int | None, Parameter(help="1 to 99, lower first.")] = None
    due_at: Annotated[str | None, Parameter(help="Not before this instant.")] = None
    parked: Annotated[bool, Parameter(help="Hold it until it is released.")] = False
    at_once: Annotated[
        bool, Parameter(help="Fail it, with the cause no_slot, instead of waiting for a slot.")
    ] = False
    callback: Annotated[
        list[str] | None,
        Parameter(help="Address that gets a signed POST when it has ended; may be repeated."),
    ] = None
    key: Annotated[
        str | None, Parameter(help="Idempotency key: the same key always means the same run.")
    ] = None

    @property
    def due(self) -> datetime | None:
        """The instant before which the run does not start."""
        return _instant(self.due_at)


@Parameter(name="*", group=FILTERS)
@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which runs are listed: those that fit everything that is given."""

    task: Annotated[str | None, Parameter(help="Of this task.")] = None
    state: Annotated[list[RunState] | None, Parameter(help="May be repeated.")] = None
    cause: Annotated[
        list[Cause] | None, Parameter(help="How they ended; may be repeated.", show_choices=False)
    ] = None
    created_from: Annotated[str | None, Parameter(help="Created at or after.")] = None
    created_before: Annotated[str | None, Parameter(help="Created before.")] = None
    finished_from: Annotated[str | None, Parameter(help="Ended at or after.")] = None
    finished_before: Annotated[str | None, Parameter(help="Ended before.")] = None
    worker: Annotated[int | None, Parameter(help="Executed by the worker of this id.")] = None
    schedule: Annotated[int | None, Parameter(help="Started by the schedule of this id.")] = None
    trigger: Annotated[Trigger | None, Parameter(help="Who asked for them.")] = None
    restarted_from: Annotated[int | None, Parameter(help="Restarts of this run.")] = None

    def chosen(self) -> "RunFilter":
        """The filter that the client understands."""
        from runyard.sdk.client import RunFilter

        return RunFilter(
            task=self.task,
            state=tuple(self.state or ()),
            cause=tuple(self.cause or ()),
            created_from=_instant(self.created_from),
            created_before=_instant(self.created_before),
            finished_from=_instant(self.finished_from),
            finished_before=_instant(self.finished_before),
            worker=self.worker,
            schedule=self.schedule,
            trigger=self.trigger,
            restarted_from=self.restarted_from,
        )


AS_USUAL = StartOptions()
ALL_RUNS = FilterOptions()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
