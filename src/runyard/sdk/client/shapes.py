"""Answers whose values are Python's own. The other answers are those of `protocol.shapes`."""

from datetime import timedelta
from typing import Any

import msgspec

from runyard.model.states import FINAL_STATES, RunState
from runyard.protocol.shapes import calls as call_shapes
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import runs as run_shapes
from runyard.protocol.shapes.audit import AuditEntry as AuditEntry
from runyard.protocol.shapes.audit import AuditPage as AuditPage
from runyard.protocol.shapes.audit import AuditVerification as AuditVerification
from runyard.protocol.shapes.bundles import DeployReport as DeployReport
from runyard.protocol.shapes.calls import Allocation as Allocation
from runyard.protocol.shapes.calls import AllocationChange as AllocationChange
from runyard.protocol.shapes.companies import Company as Company
from runyard.protocol.shapes.companies import Orchestrator as Orchestrator
from runyard.protocol.shapes.events import Resync as Resync
from runyard.protocol.shapes.events import RunLines as RunLines
from runyard.protocol.shapes.events import RunProgressed as RunProgressed
from runyard.protocol.shapes.files import File as File
from runyard.protocol.shapes.installation import Diagnosis as Diagnosis
from runyard.protocol.shapes.logs import LogLine as LogLine
from runyard.protocol.shapes.logs import LogPage as LogPage
from runyard.protocol.shapes.runs import Attempt as Attempt
from runyard.protocol.shapes.runs import Reason as Reason
from runyard.protocol.shapes.runs import RunError as RunError
from runyard.protocol.shapes.runs import RunHistory as RunHistory
from runyard.protocol.shapes.runs import StartedRun as StartedRun
from runyard.protocol.shapes.schedules import Schedule as Schedule
from runyard.protocol.shapes.systems import CreatedSystem as CreatedSystem
from runyard.protocol.shapes.systems import System as System
from runyard.protocol.shapes.tasks import KillReport as KillReport
from runyard.protocol.shapes.tasks import Task as Task
from runyard.protocol.shapes.tasks import TaskField as TaskField
from runyard.protocol.shapes.tasks import Version as Version
from runyard.protocol.shapes.tokens import CreatedToken as CreatedToken
from runyard.protocol.shapes.tokens import RemoteControl as RemoteControl
from runyard.protocol.shapes.tokens import Token as Token
from runyard.protocol.shapes.users import CreatedUser as CreatedUser
from runyard.protocol.shapes.users import SetupLink as SetupLink
from runyard.protocol.shapes.users import User as User
from runyard.protocol.shapes.workers import Worker as Worker


class Run(run_shapes.Run, frozen=True, kw_only=True):
    """One execution of a task. Input, outputs, error and attempts are there on a single run."""

    input: Any = None
    outputs: Any = None
    """A dict by the names of the task's outputs; None while there are none."""
    error: RunError | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self.state in FINAL_STATES

    @property
    def has_succeeded(self) -> bool:
        """Whether it came to its end as its author meant."""
        return self.state is RunState.COMPLETED

    @property
    def duration(self) -> timedelta | None:
        """From the first line of its code to its end, once it has both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class RunPage(parts.Page, frozen=True, kw_only=True):
    """Runs, newest first."""

    items: tuple[Run, ...]


class CallAnswer(call_shapes.CallAnswer, frozen=True, kw_only=True):
    """How a call ended."""

    outputs: Any = None
    """A dict by the names of the task's outputs; None when there are none."""

    @property
    def has_succeeded(self) -> bool:
        """Whether it came to its end as its author meant."""
        return self.state is RunState.COMPLETED


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call: its answer, or the run that it became as no child was free."""

    answer: CallAnswer | None
    run: StartedRun | None


class KilledRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the kill of one run."""

    confirmed: bool
    """Whether no code of it executes any more; False: its worker did not answer."""
    run: Run
