"""How runs end: as their child tells it, or, when it died, by the task's own doing, by Runyard, or by
somebody else."""

import signal

import msgspec

from runyard.model.runs import Outcome, RunError
from runyard.protocol.frames import End
from runyard.worker.child import Child
from runyard.worker.clock import instant, wall
from runyard.worker.execution import Ending, Execution
from runyard.worker.packets import Finished

MOST_COUNTED = 2**31 - 1
"""More errors than this no run has logged."""

OWN_FAULTS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGXFSZ,
    }
)
"""Signals that the kernel sends to a process for what it did itself."""

Ended = tuple[Outcome, RunError | None, int | None]


def end_of_child(child: Child, execution: Execution, code: int) -> Ended:
    """Outcome, error, and the signal if it came from outside."""
    if child.ending is not None and child.condemned is not execution:
        # It had just taken this one when it was ended for the one before.
        return Outcome.LOST, RunError(kind="Lost", message="its process ended before it"), None
    if child.ending is not None:
        return (*_ended_by_runyard(child.ending, execution), None)
    if code >= 0:
        return _raised("ProcessExited", f"the task ended its own process with status {code}")
    name = _signal_name(-code)
    if -code == child.announced_signal:
        return _raised("ProcessKilledItself", f"the task sent its own process {name}")
    if -code in OWN_FAULTS:
        return _raised("ProcessCrashed", f"the task's process crashed with {name}")
    message = f"the task's process was killed from outside with {name}"
    return Outcome.KILLED, RunError(kind="Killed", message=message), -code


def _ended_by_runyard(ending: Ending, execution: Execution) -> tuple[Outcome, RunError]:
    match ending:
        case Ending.TIMED_OUT:
            timeout = execution.introduction.timeout
            error = RunError(kind="TimedOut", message=f"it ran longer than {timeout}")
            return Outcome.TIMED_OUT, error
        case Ending.MEMORY:
            message = "it took more memory than a run may have"
            return Outcome.RAISED, RunError(kind="MemoryLimitExceeded", message=message)
        case Ending.PROCESSES:
            message = "it started more processes than a run may have"
            return Outcome.RAISED, RunError(kind="ProcessLimitExceeded", message=message)
        case Ending.DISK:
            message = "it kept more, or more files, in its folder than a run may have"
            return Outcome.RAISED, RunError(kind="DiskLimitExceeded", message=message)
        case Ending.UNRULY:
            message = "the task's process said what no child says; something wrote to its channel"
            return Outcome.RAISED, RunError(kind="ChannelBroken", message=message)
        case Ending.KILLED | Ending.RETIRED:
            return Outcome.LOST, RunError(kind="Killed", message="the run was given up")


def _raised(kind: str, message: str) -> Ended:
    return Outcome.RAISED, RunError(kind=kind, message=message), None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def end_as_told(
    execution: Execution, packet: Finished, output: bytes | None, finished_at: float
) -> End:
    """What the server hears of a run that ended in its child; raises ValueError."""
    if not 0 <= packet.logged_errors <= MOST_COUNTED:
        raise ValueError("errors of a number that cannot be")
    return End(
        run_id=execution.assignment.run_id,
        token=execution.token,
        outcome=packet.outcome,
        begun_at=instant(execution.begun_at) if packet.begun_at and execution.begun_at else None,
        finished_at=instant(finished_at),
        output=None if output is None else msgspec.Raw(output),
        error=packet.error,
        logged_errors=packet.logged_errors,
    )


def end_of_run(
    execution: Execution,
    outcome: Outcome,
    *,
    error: RunError | None = None,
    signal: int | None = None,
) -> End:
    """What the server hears of a run that ended in any other way."""
    return End(
        run_id=execution.assignment.run_id,
        token=execution.token,
        outcome=outcome,
        begun_at=None if execution.begun_at is None else instant(execution.begun_at),
        finished_at=instant(wall()),
        error=error,
        signal=signal,
    )
