"""UUIDs that the dialect shows and Runyard does not have.

Each is derived from what it names, so that it is the same in every answer, on every server and
after every move of the database. Nothing is looked up by one.
"""

from functools import lru_cache
from uuid import UUID, uuid5

from runyard.model.companies import Company
from runyard.model.ids import ActorId, RunId, WorkerId
from runyard.model.tasks import Task

_MOST = 16_384


@lru_cache(maxsize=_MOST)
def _named(space: UUID, name: str) -> str:
    return str(uuid5(space, name))


def version_uuid(task: Task, number: int) -> str:
    """One version of a process."""
    return _named(task.uuid, f"version {number}")


def group_uuid(company: Company, label: str) -> str:
    """A label of workers, which is what a group of bots comes to."""
    return _named(company.uuid, f"label {label}")


def bot_uuid(company: Company, worker: WorkerId) -> str:
    """A worker, as this company sees it."""
    return _named(company.uuid, f"worker {worker}")


def user_uuid(company: Company, actor: ActorId) -> str:
    """Whoever deployed something."""
    return _named(company.uuid, f"actor {actor}")


def context_uuid(company: Company, run: RunId) -> str:
    """The stored input of a task."""
    return str(uuid5(company.uuid, f"input of run {run}"))
