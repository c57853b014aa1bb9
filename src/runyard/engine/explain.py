"""Why a run is not running: every reason, in the order in which dispatch tests them.

The list is empty exactly when the next dispatch starts the run (or it is running already).
"""

from collections.abc import Sequence

import msgspec

from runyard.engine.colleagues import Colleague
from runyard.engine.foundation import Foundation
from runyard.engine.sessions import Session
from runyard.model.companies import Company
from runyard.model.ids import RunId
from runyard.model.runs import Run
from runyard.model.states import RunState
from runyard.model.tasks import Gate, Task
from runyard.stores.contract.queues import MOST_BEFORE

SHOWN_RUNS = 20


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that keeps a run from running, and what clears it."""

    code: str
    text: str
    action: str
    run_ids: tuple[RunId, ...] = ()
    """Runs that stand in the way, at most 20."""


class Explain:
    """Answers "why is it waiting?"."""

    def __init__(self, foundation: Foundation) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._sessions = foundation.sessions
        self._colleagues = foundation.colleagues

    async def why(self, company: Company, run: Run) -> list[Reason]:
        """Every reason why this run is not running."""
        if run.is_final:
            return [_ended(run)]
        if run.state is RunState.RUNNING:
            return []
        task = await self._directory.task_by_id(company.id, run.task_id)
        gate = await self._store.tasks.gate(run.gate_id)
        reasons = self._own_reasons(run)
        if gate is not None:
            reasons += _gate_reasons(gate, company, task)
            reasons += await self._limit_reasons(gate)
            fitting = self._sessions.fitting(company.id, gate.labels)
            others = [c for c in await self._colleagues.list() if c.fits(company.id, gate.labels)]
            reasons += self._worker_reasons(gate, is_any=bool(fitting or others))
            if not reasons:
                reasons += await self._queue_reasons(run, fitting, others)
        return reasons

    def _own_reasons(self, run: Run) -> list[Reason]:
        match run.state:
            case RunState.PARKED:
                action = f"release it: runyard run release {run.id}"
                return [Reason(code="parked", text="it is parked", action=action)]
            case RunState.PREPARING:
                text = "its input files are being fetched"
                return [Reason(code="preparing", text=text, action="wait, or see its log")]
            case RunState.WAITING:
                text = "it waits for an answer or an instant"
                return [Reason(code="waiting", text=text, action="answer it")]
            case RunState.SCHEDULED if run.due_at is not None and run.due_at > self._clock.now():
                return [_due_later(run)]
            case _:
                return []

    async def _limit_reasons(self, gate: Gate) -> list[Reason]:
        if gate.limit is None:
            return []
        leased = await self._store.leases.of_gate(gate.company_id, gate.id)
        if len(leased) < gate.limit:
            return []
        return [
            Reason(
                code="at_limit",
                text=f"{len(leased)} runs of its task are under way; its concurrency is {gate.limit}",
                action="wait for one of them to end, or deploy the task with a higher concurrency",
                run_ids=tuple(run.run_id for run in leased[:SHOWN_RUNS]),
            )
        ]

    def _worker_reasons(self, gate: Gate, *, is_any: bool) -> list[Reason]:
        if is_any:
            return []
        if gate.labels:
            text = f"no worker is online that has the labels {', '.join(gate.labels)}"
        else:
            text = "no worker is online"
        return [Reason(code="no_worker", text=text, action="start a worker that fits")]

    async def _queue_reasons(
        self, run: Run, fitting: Sequence[Session], others: Sequence[Colleague]
    ) -> list[Reason]:
        """Only room is missing; say what takes it."""
        if any(session.room > 0 for session in fitting) or any(c.has_room for c in others):
            return []
        ahead = await self._store.queues.queued_before(
            run.company_id, run.gate_id, run.rank, run.id
        )
        busy = [run_id for session in fitting for run_id in session.held]
        busy += [run_id for colleague in others for run_id in colleague.held]
        short = [session for session in fitting if session.short]
        reasons = [_short(session) for session in short[:1]]
        if others or len(short) < len(fitting):
            reasons.append(
                Reason(
                    code="no_free_slot",
                    text=f"all slots of the {len(fitting) + len(others)} fitting workers are taken",
                    action="wait, or add slots or workers",
                    run_ids=tuple(busy[:SHOWN_RUNS]),
                )
            )
        if ahead:
            number = f"{ahead:,} or more" if ahead == MOST_BEFORE else f"{ahead}"
            text = f"{number} runs of its task are before it in the queue"
            reasons.append(Reason(code="behind", text=text, action="wait, or raise its priority"))
        return reasons


def _ended(run: Run) -> Reason:
    return Reason(
        code="ended",
        text=f"it has ended: {run.state} ({run.cause})",
        action=f"start it again: runyard run restart {run.id}",
    )


def _short(session: Session) -> Reason:
    return Reason(
        code="no_process",
        text=f"the worker {session.worker.name} can start no further child: {session.short}",
        action="free processes, memory or descriptors on its machine; it tries again by itself",
    )


def _due_later(run: Run) -> Reason:
    at = "" if run.due_at is None else run.due_at.isoformat(timespec="milliseconds")
    if run.attempt:
        return Reason(
            code="retry_delay",
            text=f"attempt {run.attempt} failed; the next one is due at {at}",
            action="wait, or cancel it and start it anew",
        )
    return Reason(code="due_later", text=f"it is due at {at}", action="wait")


def _gate_reasons(gate: Gate, company: Company, task: Task) -> list[Reason]:
    reasons = []
    if not gate.company_runnable:
        action = f"resume it: runyard orchestrator resume --company {company.slug}"
        text = f"the orchestrator of company {company.slug!r} is paused"
        reasons.append(Reason(code="orchestrator_paused", text=text, action=action))
    if not gate.runnable:
        action = f'open it: runyard task set-runnable "{task.name}" true'
        text = f"task {task.name!r} is set not runnable"
        reasons.append(Reason(code="task_not_runnable", text=text, action=action))
    return reasons
