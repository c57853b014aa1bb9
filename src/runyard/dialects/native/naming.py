"""Values that need a name from elsewhere: a run shows its task's name and its version's number."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from runyard.dialects.native import wire
from runyard.engine.engine import Engine
from runyard.model.ids import CompanyId
from runyard.model.runs import Attempt, Run
from runyard.model.schedules import Schedule
from runyard.model.tasks import Task
from runyard.protocol.shapes import runs as run_shapes
from runyard.protocol.shapes import schedules as schedule_shapes
from runyard.protocol.shapes import tasks as task_shapes
from runyard.stores.contract.runs import RunValues


async def shown_run(
    engine: Engine,
    run: Run,
    *,
    values: RunValues | None = None,
    attempts: Sequence[Attempt] | UnsetType = UNSET,
) -> run_shapes.Run:
    """A run with the name of its task and the number of its version."""
    task = await engine.directory.task_by_id(run.company_id, run.task_id)
    version = await engine.directory.version(run.version_id)
    started_by = await engine.actors.name(run.started_by)
    return wire.run_shape(
        run, task, version, started_by=started_by, values=values, attempts=attempts
    )


async def shown_task(engine: Engine, task: Task) -> task_shapes.Task:
    """A task with what its current version declares."""
    return wire.task_shape(task, await engine.directory.version(task.version_id))


async def shown_schedule(engine: Engine, schedule: Schedule) -> schedule_shapes.Schedule:
    """A schedule with the name of its task."""
    task = await engine.directory.task_by_id(schedule.company_id, schedule.task_id)
    return wire.schedule_shape(schedule, task)


async def slug_of(engine: Engine, company: CompanyId | None) -> str | None:
    """The slug of a company, or None for the installation."""
    return None if company is None else (await engine.companies.load_by_id(company)).slug
