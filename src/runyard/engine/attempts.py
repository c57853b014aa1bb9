"""What workers report of runs, and what becomes of them.

An attempt ends with an outcome. The outcome becomes a cause, the cause leads to a state by the
transition table, unless the task's policy wants another attempt. Ends are recorded in groups: all
that came in while the last group was being written. A beginning is written only if the attempt has
not ended within a moment; the end carries it otherwise, which spares short runs one write.

Reports are judged by lease token twice: here against what the session holds, and in the database,
whose word counts.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from runyard.engine.clock import to_micros
from runyard.engine.foundation import Foundation
from runyard.engine.logbook import Logbook
from runyard.engine.patience import until_done
from runyard.engine.retries import retry_delay
from runyard.engine.sessions import AttemptEnd, HeldRun, Session
from runyard.engine.transitions import target
from runyard.model.errors import Busy, FieldProblem, InputRefused, RunyardError
from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLine
from runyard.model.runs import Outcome, RunError
from runyard.model.shapes import Shape
from runyard.model.states import FINAL_STATES, Cause
from runyard.stores.contract.runs import Beginning, Finish, ProgressReport, StepRecord
from runyard.telemetry import END_REFUSED, ENDS_DELAYED, LATE_REPORT, emit

BEGINNING_DELAY = timedelta(milliseconds=20)
AFTER_FAILURE = timedelta(milliseconds=200)

CAUSES = {
    Outcome.RAISED: Cause.RAISED,
    Outcome.TIMED_OUT: Cause.TIMED_OUT,
    Outcome.LOST: Cause.WORKER_LOST,
    Outcome.KILLED: Cause.KILLED_OUTSIDE,
    Outcome.NOT_LOADED: Cause.CODE_NOT_LOADED,
    Outcome.INPUT_INVALID: Cause.INPUT_INVALID,
    Outcome.OUTPUT_INVALID: Cause.OUTPUT_INVALID,
}


def cause_of(end: AttemptEnd) -> Cause:
    """What the end of an attempt means for its run, another attempt aside."""
    if end.outcome is not Outcome.RETURNED:
        return CAUSES[end.outcome]
    if end.logged_errors:
        return Cause.RETURNED_WITH_ERRORS
    return Cause.RETURNED if end.output is not None else Cause.RETURNED_NOTHING


class Attempts:
    """Takes reports about runs from sessions and records them."""

    def __init__(self, foundation: Foundation, logbook: Logbook) -> None:
        self._store = foundation.store
        self._clock = foundation.clock
        self._directory = foundation.directory
        self._secrets = foundation.secrets
        self._dispatcher = foundation.dispatcher
        self._logbook = logbook
        self._watch = foundation.watch
        self._ends: list[tuple[HeldRun, AttemptEnd]] = []
        self._receipts: dict[tuple[RunId, int], Session] = {}
        """Whom to tell once an end is recorded."""
        self._recorded = 0
        """Ends that were recorded, or given up, since the start."""
        self._recording = 0
        """Ends that are being recorded."""
        self._settling: list[tuple[int, asyncio.Event]] = []
        """Who waits until how many ends have been recorded."""
        self._beginnings: dict[RunId, tuple[Beginning, HeldRun]] = {}
        self._progressed: dict[RunId, HeldRun] = {}
        """Runs with progress that is not written yet."""
        self._ends_wakeup = asyncio.Event()
        self._beginnings_wakeup = asyncio.Event()
        self._recording_beginnings = asyncio.Lock()
        self.scheduled_wakeup = asyncio.Event()
        """Set when a retry was scheduled, so that maintenance looks at its due instant."""

    # ------------------------------------------------------------ reports

    def begun(self, session: Session, run: RunId, token: int, at: datetime) -> None:
        """An attempt reached its task's code."""
        held = self._held(session, run, token)
        if held is not None and held.begun_at is None:
            held.begun_at = at
            self._beginnings[run] = (Beginning(run, token, at), held)
            self._beginnings_wakeup.set()

    def ended(self, session: Session, ends: Sequence[AttemptEnd]) -> None:
        """Attempts are over."""
        unwanted = []
        for end in ends:
            lease = (end.run_id, end.token)
            if session.is_resumable and lease in self._receipts:
                self._receipts[lease] = session  # said again while it is being recorded
                continue
            held = self._held(session, end.run_id, end.token)
            if held is None:
                unwanted.append(lease)
            else:
                if session.is_resumable:
                    self._receipts[lease] = session
                held.ending = True
                held.is_handed_back = session.draining
                del session.held[end.run_id]
                self._beginnings.pop(end.run_id, None)
                self._ends.append((held, end))
        if unwanted and session.is_resumable:
            session.port.recorded(unwanted)
        self._ends_wakeup.set()
        self._dispatcher.notice_room()

    def logged(
        self, session: Session, run: RunId, token: int, lines: tuple[LogLine, ...], dropped: int
    ) -> None:
        """A run logged lines."""
        held = self._held(session, run, token)
        if held is None:
            return
        if lines:
            if lines[-1].number <= held.last_line:  # said again after a connection broke
                return
            held.last_line = lines[-1].number
        self._logbook.add(held, lines, dropped)

    def progressed(
        self, session: Session, run: RunId, token: int, done: float, total: float | None
    ) -> None:
        """A run said how far it is."""
        held = self._held(session, run, token)
        if held is not None:
            self._watch.progressed(held.company_id, run, done, total)
            held.progress = ProgressReport(run, token, done, total)
            self._progressed[run] = held
            self._beginnings_wakeup.set()

    async def record_step(
        self, session: Session, run: RunId, token: int, name: str, occurrence: int, value: bytes
    ) -> bool:
        """Record a step's result durably; False when the lease is lost.

        The worker ends a run whose lease is lost and says no more of it, so nothing of it is
        expected here any more either. A store that is away or full is waited for.
        """
        held = self._held(session, run, token)
        if held is None:
            return False
        step = StepRecord(
            run_id=run,
            company_id=held.company_id,
            token=token,
            name=name,
            occurrence=occurrence,
            value=value,
            at=self._clock.now(),
        )
        try:
            kept = await until_done(
                self._clock, "record step", lambda: self._store.runs.record_step(step)
            )
        except RunyardError as problem:
            self.ended(session, [_without_step(held, step, problem.detail)])
            return False
        if not kept and not held.ending:
            held.ending = True
            del session.held[run]
            self._beginnings.pop(run, None)
            self._dispatcher.notice_room()
        return kept

    def lost(self, session: Session, held: Sequence[HeldRun]) -> None:
        """Begun runs whose worker is gone."""
        now = self._clock.now()
        for run in held:
            if run.ending:  # its end came in, or it was taken back, while its worker was let go
                continue
            run.ending = True
            run.is_handed_back = session.draining
            self._beginnings.pop(run.run_id, None)
            self._ends.append(
                (
                    run,
                    AttemptEnd(
                        run_id=run.run_id,
                        token=run.token,
                        outcome=Outcome.LOST,
                        begun_at=run.begun_at,
                        finished_at=now,
                        error=RunError(kind="WorkerLost", message="its worker disappeared"),
                    ),
                )
            )
        self._ends_wakeup.set()

    def _held(self, session: Session, run: RunId, token: int) -> HeldRun | None:
        held = session.holding(run, token)
        if held is None or held.ending:
            emit(LATE_REPORT, run_id=run, token=token, session_id=session.id)
            return None
        return held

    # ------------------------------------------------------------ recording

    async def settled(self) -> None:
        """Return once every end reported so far is recorded."""
        if under_way := self._recording + len(self._ends):
            settled = asyncio.Event()
            self._settling.append((self._recorded + under_way, settled))
            await settled.wait()

    async def run(self) -> None:
        """Record ends and beginnings until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._record_ends_forever())
            group.create_task(self._record_beginnings_forever())

    async def _record_ends_forever(self) -> None:
        while True:
            await self._ends_wakeup.wait()
            self._ends_wakeup.clear()
            ends, self._ends = self._ends, []
            self._recording = len(ends)
            if ends:
                await self._record_until_done(ends)
                self._tell_recorded(ends)
            self._recorded += self._recording
            self._recording = 0
            self._tell_settled()

    def _tell_recorded(self, ends: Sequence[tuple[HeldRun, AttemptEnd]]) -> None:
        """Tell those who would say these ends again that there is no need to."""
        if not self._receipts:
            return
        told: dict[Session, list[tuple[RunId, int]]] = {}
        for _, end in ends:
            lease = (end.run_id, end.token)
            if (session := self._receipts.pop(lease, None)) is not None:
                told.setdefault(session, []).append(lease)
        for session, leases in told.items():
            session.port.recorded(leases)

    def _tell_settled(self) -> None:
        if not self._settling:
            return
        for count, settled in self._settling:
            if count <= self._recorded:
                settled.set()
        self._settling = [entry for entry in self._settling if entry[0] > self._recorded]

    async def _record_until_done(self, ends: list[tuple[HeldRun, AttemptEnd]]) -> None:
        while True:
            try:
                await self._record(ends)
            except Busy as problem:  # the disk is full or the database away: the ends wait
                emit(ENDS_DELAYED, count=len(ends), detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)
            except Exception as error:  # noqa: BLE001 - one unfit end must not keep the others
                if len(ends) == 1:
                    emit(END_REFUSED, run_id=ends[0][0].run_id, detail=_named(error))
                    await self._record_refused(*ends[0])
                    return
                for end in ends:
                    await self._record_until_done([end])
                return
            else:
                return

    async def _record_refused(self, held: HeldRun, end: AttemptEnd) -> None:
        """End a run whose end cannot be recorded as it was reported."""
        finish = Finish(
            run_id=end.run_id,
            company_id=held.company_id,
            token=end.token,
            state=target(Cause.OUTPUT_INVALID),
            cause=Cause.OUTPUT_INVALID,
            outcome=Outcome.OUTPUT_INVALID,
            begun_at=held.begun_at,
            finished_at=self._clock.now(),
            error=RunError(kind="EndRefused", message="how it ended could not be recorded"),
        )
        try:
            await until_done(self._clock, "refuse end", lambda: self._store.runs.finish([finish]))
        except RunyardError as problem:
            emit(END_REFUSED, run_id=end.run_id, detail=problem.detail)
        self._watch.ended([end.run_id])
        self._dispatcher.notice(held.gate_id, held.company_id)

    async def _record(self, ends: Sequence[tuple[HeldRun, AttemptEnd]]) -> None:
        if self._logbook.has_pending:
            await self._logbook.flush()
        await self._record_progress([held for held, _ in ends if held.progress is not None])
        finishes = [await self._finish_for(held, end) for held, end in ends]
        accepted = set(await self._store.runs.finish(finishes))
        final = [f.run_id for f in finishes if f.state in FINAL_STATES]
        # Those that were not accepted too: an earlier try may have been written, its answer lost.
        self._watch.ended(final)
        changed: dict[CompanyId, list[RunId]] = {}
        for held, end in ends:
            self._dispatcher.notice(held.gate_id, held.company_id)
            if self._watch.is_followed(held.company_id):
                changed.setdefault(held.company_id, []).append(end.run_id)
            if end.run_id not in accepted:
                emit(LATE_REPORT, run_id=end.run_id, token=end.token, session_id=None)
        if len(final) < len(finishes):
            self.scheduled_wakeup.set()
        for company, runs in changed.items():
            await self._tell(company, runs)

    async def _tell(self, company: CompanyId, runs: Sequence[RunId]) -> None:
        """Tell followers of runs that have changed. What is written is not written again because
        they could not be told: they look for themselves.
        """
        try:
            await self._watch.changed(company, runs)
        except RunyardError as problem:
            emit(ENDS_DELAYED, count=0, detail=problem.detail)

    async def _finish_for(self, held: HeldRun, end: AttemptEnd) -> Finish:
        version = await self._directory.version(held.version_id)
        if end.output is not None:
            end = judged_output(await self._directory.output_shape(held.version_id), end)
        attempt = held.attempt + 1 if end.begun_at is not None else held.attempt
        delay = retry_delay(
            end.outcome, attempt, version.declaration.policies.retry, self._clock.chance()
        )
        if held.is_handed_back and end.outcome is Outcome.LOST:
            delay = timedelta()  # however few retries the task has: nothing of it has failed
        cause = cause_of(end) if delay is None else Cause.RETRIED
        due_at = None if delay is None else end.finished_at + delay
        return Finish(
            run_id=end.run_id,
            company_id=held.company_id,
            token=end.token,
            state=target(cause),
            cause=cause if delay is None else None,
            outcome=end.outcome,
            begun_at=end.begun_at,
            finished_at=end.finished_at,
            output=end.output,
            error=self._secrets.error(end.error),
            logged_errors=end.logged_errors,
            due_at=due_at,
            rank=None
            if due_at is None
            else held.rank + to_micros(due_at) - to_micros(end.finished_at),
        )

    async def _record_beginnings_forever(self) -> None:
        while True:
            await self._beginnings_wakeup.wait()
            await self._clock.wait(asyncio.Event(), BEGINNING_DELAY)
            self._beginnings_wakeup.clear()
            try:
                await self._record_progress(list(self._progressed.values()))
                await self.record_beginnings()
            except Busy as problem:
                emit(ENDS_DELAYED, count=len(self._beginnings), detail=problem.detail)
                await self._clock.wait(asyncio.Event(), AFTER_FAILURE)

    async def record_beginnings(self) -> None:
        """Write down which attempts have begun, those of the last moment too."""
        async with self._recording_beginnings:
            pending, self._beginnings = self._beginnings, {}
            try:
                if pending:
                    await self._record_beginnings(list(pending.values()))
            except Busy:
                self._begin_again(pending)
                self._beginnings_wakeup.set()
                raise

    def _begin_again(self, pending: dict[RunId, tuple[Beginning, HeldRun]]) -> None:
        """Beginnings that could not be written, but for those whose end will carry them."""
        for run, (beginning, held) in pending.items():
            if not held.ending:
                self._beginnings.setdefault(run, (beginning, held))

    async def _record_progress(self, held: Sequence[HeldRun]) -> None:
        reports = [run.progress for run in held if run.progress is not None]
        if not reports:
            return
        for run in held:
            run.progress = None
            self._progressed.pop(run.run_id, None)
        await self._store.runs.report_progress(reports)

    async def _record_beginnings(self, pending: list[tuple[Beginning, HeldRun]]) -> None:
        await self._store.runs.begin([beginning for beginning, _ in pending])
        for beginning, held in pending:
            if self._watch.is_followed(held.company_id):
                await self._tell(held.company_id, [beginning.run_id])


def judged_output(declared: Shape, end: AttemptEnd) -> AttemptEnd:
    """The same end, or `output invalid` when what was returned does not fit its declaration."""
    if end.outcome is not Outcome.RETURNED or end.output is None:
        return end
    try:
        declared.refuse_addresses(declared.accept(end.output))
    except InputRefused as refusal:
        return AttemptEnd(
            run_id=end.run_id,
            token=end.token,
            outcome=Outcome.OUTPUT_INVALID,
            begun_at=end.begun_at,
            finished_at=end.finished_at,
            error=RunError(kind="OutputInvalid", message=_told(refusal.problems)),
            logged_errors=end.logged_errors,
        )
    return end


def _without_step(held: HeldRun, step: StepRecord, detail: str) -> AttemptEnd:
    """The end of an attempt whose step the database refuses to keep."""
    return AttemptEnd(
        run_id=held.run_id,
        token=held.token,
        outcome=Outcome.RAISED,
        begun_at=held.begun_at,
        finished_at=step.at,
        error=RunError(kind="StepRefused", message=f"step {step.name!r}: {detail}"),
    )


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _told(problems: Sequence[FieldProblem]) -> str:
    return "; ".join(f"{p.field}: {p.seen}; allowed: {p.allowed}" for p in problems)
