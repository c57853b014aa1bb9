"""Tasks: found, opened and closed, their runs killed or cleaned."""

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from runyard.engine.calls import Calls
from runyard.engine.foundation import Foundation
from runyard.engine.steering import KillReport, Steering
from runyard.model.companies import Company
from runyard.model.errors import Unconfirmed
from runyard.model.ids import RunId
from runyard.model.tasks import Task, Version
from runyard.stores.contract.leases import LeasedRun
from runyard.stores.contract.peering import Answer
from runyard.stores.contract.queues import GateLoad

CLEANED_AT_ONCE = 2_000
PASSES = 20


class Tasks:
    """Registered code."""

    def __init__(self, foundation: Foundation, steering: Steering, calls: Calls) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._dispatcher = foundation.dispatcher
        self._steering = steering
        self._calls = calls
        self._calls_elsewhere = foundation.calls_elsewhere
        self._watch = foundation.watch

    async def load(self, company: Company, ref: str) -> Task:
        """The task of this id, uuid, public id or name; raises TaskNotFound."""
        return await self._directory.task(company.id, ref)

    async def list(
        self, company: Company, *, include_withdrawn: bool = False
    ) -> builtins.list[Task]:
        """Tasks of a company, by path and name."""
        return await self._store.tasks.list(company.id, include_withdrawn=include_withdrawn)

    async def version(self, company: Company, task: Task, number: int | None = None) -> Version:
        """The current version, or that of this number; raises VersionNotFound."""
        if number is None or number == task.version:
            return await self._directory.version(task.version_id)
        return await self._directory.numbered_version(task, number)

    async def versions(self, company: Company, task: Task) -> builtins.list[Version]:
        """All versions, newest first."""
        return await self._store.tasks.versions(company.id, task.id)

    async def loads(self, company: Company) -> builtins.list[GateLoad]:
        """How many runs of each task are where, by gate."""
        return await self._store.queues.gate_loads(company.id)

    async def set_runnable(self, company: Company, ref: str, *, runnable: bool) -> Task:
        """Let runs of the task start, or hold them all back. Once closing has returned none starts.

        Raises TaskNotFound.
        """
        task = await self._directory.task(company.id, ref)
        await self._switch(task, runnable=runnable)
        if runnable:
            self._dispatcher.notice(task.gate_id, company.id)
        else:
            await self._steering.hold_back(company.id, task.gate_id)
        return await self._directory.task(company.id, str(task.id))

    async def kill(self, company: Company, ref: str) -> KillReport:
        """End the task's runs that are under way, between two attempts too, and its calls; raises
        TaskNotFound, and Unconfirmed when another server does not say what became of its calls.

        Runs that have never begun stay in the queue.
        """
        task = await self._directory.task(company.id, ref)
        with self._closed(company, task):
            waiting = await self._cancel_between_attempts(company, task)
            begun, others = await self._begun(company, task)
            report = await self._steering.kill(begun, if_begun=others)
            # Of those whose attempt ended meanwhile, one may have come back for another.
            waiting += await self._cancel_between_attempts(company, task)
        here = await self._calls.kill(company.id, task.id)
        there = await self._calls_elsewhere.end(company.id, task.id)
        return KillReport(
            killed=(*report.killed, *waiting, *here.ended, *there.ended),
            unconfirmed=(*report.unconfirmed, *here.left, *there.left),
        )

    async def drop_stranded(self, company: Company, ref: str) -> builtins.list[RunId]:
        """Cancel the task's queued runs that have never begun; which.

        For tasks whose runs no worker takes; raises TaskNotFound.
        """
        task = await self._directory.task(company.id, ref)
        with self._closed(company, task):
            return await self._told(
                company,
                await self._store.runs.cancel_queued(company.id, task.gate_id, self._clock.now()),
            )

    async def _begun(
        self, company: Company, task: Task
    ) -> tuple[builtins.list[LeasedRun], builtins.list[LeasedRun]]:
        """Runs that are under way and have begun, and those of which only another server knows."""
        leased = await self._store.leases.of_gate(company.id, task.gate_id)
        held = {run.run_id for run in self._steering.begun_of(company.id, task.gate_id)}
        begun = [
            run for run in leased if run.begun_at is not None or run.attempt or run.run_id in held
        ]
        return begun, [run for run in leased if run not in begun]

    async def _cancel_between_attempts(self, company: Company, task: Task) -> builtins.list[RunId]:
        now = self._clock.now()
        ids = await self._store.runs.cancel_between_attempts(company.id, task.gate_id, now)
        return await self._told(company, ids)

    async def _told(self, company: Company, ids: builtins.list[RunId]) -> builtins.list[RunId]:
        self._watch.ended(ids)
        await self._watch.changed(company.id, ids)
        return ids

    @contextmanager
    def _closed(self, company: Company, task: Task) -> Iterator[None]:
        """Let nothing leave the task's queue for a worker during the block."""
        try:
            with self._directory.closing((task.gate_id,)):
                yield
        finally:
            self._dispatcher.notice(task.gate_id, company.id)

    async def clean(self, company: Company, ref: str) -> builtins.list[RunId]:
        """Cancel the task's runs that have never begun; which. Raises TaskNotFound.

        Once this returns none of them starts.
        """
        task = await self._directory.task(company.id, ref)
        with self._closed(company, task):
            return await self._clean(company, task)

    async def _clean(self, company: Company, task: Task) -> builtins.list[RunId]:
        began_at = self._clock.now()
        cleaned = await self._steering.drop_unbegun(company.id, task.gate_id)
        for _ in range(PASSES):
            cleaned += await self._clean_queue(company, task)
            # What another server had claimed by now is either ended there or back in the queue.
            elsewhere = await self._steering.drop_elsewhere(task.gate_id, began_at)
            cleaned += [run for run, answer in elsewhere.items() if answer is Answer.DONE]
            if not elsewhere:
                return cleaned
        raise Unconfirmed(f"other servers keep claiming runs of task {task.name!r}; clean it again")

    async def _clean_queue(self, company: Company, task: Task) -> builtins.list[RunId]:
        cleaned: builtins.list[RunId] = []
        while True:
            ids = await self._store.runs.clean(
                company.id, task.gate_id, self._clock.now(), CLEANED_AT_ONCE
            )
            cleaned += await self._told(company, ids)
            if len(ids) < CLEANED_AT_ONCE:
                return cleaned

    async def _switch(self, task: Task, *, runnable: bool) -> None:
        with self._directory.closing(() if runnable else (task.gate_id,)):
            await self._store.tasks.set_runnable(task.company_id, task.id, runnable)
            await self._directory.refresh_gate(task.gate_id)
        self._directory.forget()
