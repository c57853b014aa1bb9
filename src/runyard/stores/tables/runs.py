"""Runs: binding and decoding.

`start`, `claim`, `begin`, `finish` and `move` are plain functions that enqueue at once and return
what is to be awaited: calls of the same turn share a group even before anybody awaits them.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

import msgspec

from runyard.model.errors import RunyardError
from runyard.model.ids import CompanyId, GateId, RunId, SessionId, TaskId
from runyard.model.runs import Attempt, Change, Run, RunError
from runyard.model.states import FINAL_STATES, RunState
from runyard.stores.codes import (
    CAUSE_CODES,
    CAUSES,
    FIRST_FINAL_CODE,
    OUTCOME_CODES,
    OUTCOMES,
    STATE_CODES,
    STATES,
    TRIGGER_CODES,
    TRIGGERS,
    instant,
    instant_or_none,
    micros,
    micros_or_none,
    state_mask,
)
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.leases import Beginning, Claim, ClaimedRun, LeasedRun
from runyard.stores.contract.listing import Position, RunFilter, RunPage, RunPart
from runyard.stores.contract.preparations import Prepared
from runyard.stores.contract.queues import MOST_BEFORE, GateCount, GateLoad
from runyard.stores.contract.runs import (
    Breach,
    Finish,
    Move,
    NewRun,
    ProgressReport,
    RunValues,
    StartKey,
    StartOutcome,
    StepRecord,
)
from runyard.stores.tables.callbacks import callback_statements
from runyard.stores.tables.pages import Pages, Part
from runyard.stores.tables.pieces import (
    CLAIM,
    Answer,
    Database,
    Piece,
    Row,
    Statement,
    WriteClass,
    a_piece,
)
from runyard.stores.tables.preparations import preparation_statements
from runyard.stores.tables.values import are_inline, keep_value, load_value

_ROW_SIZE = 300
"""About how many bytes of memory one row of a waiting piece takes."""

Columns = tuple[bytes | None, str | None]


class RunTable:
    """Runs, their values, attempts and steps."""

    def __init__(self, db: Database, logs: Database, blobs: Blobs) -> None:
        self._db = db
        self._logs = logs
        self._blobs = blobs
        self._pages = Pages(db)

    def _enqueue(self, piece: Piece) -> "asyncio.Future[list[Answer]]":
        """Enqueue a piece; a refusal reaches whoever awaits it, not whoever calls."""
        try:
            return self._db.write(piece)
        except RunyardError as refusal:
            refused: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
            refused.set_exception(refusal)
            return refused

    # ------------------------------------------------------------ starting and claiming

    def start(
        self, runs: Sequence[NewRun], key: StartKey | None = None
    ) -> Coroutine[Any, Any, StartOutcome]:
        """Insert these runs with their inputs, all or none; none when the key is known already."""
        if are_inline(run.input for run in runs):
            piece = start_piece(runs, [(run.input, None) for run in runs], key)
            return self._started(self._enqueue(piece), runs, key)
        return self._start_large(runs, key)

    async def _start_large(self, runs: Sequence[NewRun], key: StartKey | None) -> StartOutcome:
        inputs = [await keep_value(self._blobs, run.input) for run in runs]
        return await self._started(self._enqueue(start_piece(runs, inputs, key)), runs, key)

    async def _started(
        self,
        answers: "asyncio.Future[list[Answer]]",
        runs: Sequence[NewRun],
        key: StartKey | None,
    ) -> StartOutcome:
        first = (await answers)[0]
        if key is None or first:
            return StartOutcome(inserted=True, first_run_id=runs[0].id, run_count=len(runs))
        row = await self._db.one("find_start_key", company_id=key.company_id, key=key.key)
        assert row is not None, "a key that was refused as known is known"
        return StartOutcome(
            inserted=False, first_run_id=RunId(row[0]), run_count=row[1], request_digest=row[2]
        )

    def claim(self, claim: Claim) -> Coroutine[Any, Any, list[ClaimedRun]]:
        """Lease queued runs to a session."""
        shares = tuple((share.company_id, share.count, share.gate_ids) for share in claim.shares)
        row = (claim.session_id, claim.worker_id, claim.first_token, micros(claim.at), shares)
        piece = a_piece(WriteClass.CLAIM, Statement(CLAIM, (row,)), is_relaxed=True)
        return self._claimed(self._enqueue(piece))

    async def _claimed(self, answers: "asyncio.Future[list[Answer]]") -> list[ClaimedRun]:
        [rows] = await answers
        return [
            ClaimedRun(
                run_id=row[0],
                public_id=row[1],
                company_id=row[2],
                task_id=row[3],
                version_id=row[4],
                gate_id=row[5],
                token=row[6],
                attempt=row[7],
                rank=row[8],
                input=row[9] if row[10] is None else await self._input(row),
            )
            for row in rows
        ]

    async def _input(self, row: Row) -> bytes:
        value = await load_value(self._blobs, row[9], row[10])
        assert value is not None, "every run has an input"
        return value

    # ------------------------------------------------------------ moving

    def begin(self, beginnings: Sequence[Beginning]) -> Coroutine[Any, Any, list[RunId]]:
        """Record that attempts reached their code."""
        rows = [(item.run_id, item.token, micros(item.at)) for item in beginnings]
        piece = a_piece(
            WriteClass.OUTCOME,
            Statement("begin_attempt", rows),
            size=_ROW_SIZE * len(rows),
            is_relaxed=True,
        )
        return _accepted(self._enqueue(piece))

    def finish(self, finishes: Sequence[Finish]) -> Coroutine[Any, Any, list[RunId]]:
        """End attempts; answers the accepted ones."""
        if are_inline(finish.output for finish in finishes):
            outputs: list[Columns] = [(finish.output, None) for finish in finishes]
            return _accepted(self._enqueue(finish_piece(finishes, outputs)))
        return self._finish_large(finishes)

    async def _finish_large(self, finishes: Sequence[Finish]) -> list[RunId]:
        outputs = [await keep_value(self._blobs, finish.output) for finish in finishes]
        return await _accepted(self._db.write(finish_piece(finishes, outputs)))

    def move(self, moves: Sequence[Move]) -> Coroutine[Any, Any, list[Run]]:
        """Change states; answers the changed runs as they are now."""
        rows = [_move_row(move) for move in moves]
        statements = [Statement("move_run", rows)]
        if recorded := [_change_row(move) for move in moves if move.is_recorded]:
            statements.append(Statement("insert_change", recorded, follows=0))
        piece = a_piece(WriteClass.OUTCOME, *statements, size=_ROW_SIZE * len(rows))
        return self._moved(self._enqueue(piece))

    async def end_preparing(self, move: Move, prepared: Prepared) -> Run | None:
        """Move a run out of preparing, with its input or error."""
        statements = [Statement("move_run", [_move_row(move)])]
        size = 2 * _ROW_SIZE
        if prepared.input is not None:
            value, digest = await keep_value(self._blobs, prepared.input)
            size += len(value or b"")
            statements.append(Statement("replace_input", [(move.run_id, value, digest)], follows=0))
        if prepared.error is not None:
            row = (move.run_id, None, None, _encode(prepared.error))
            statements.append(Statement("insert_output", [row], follows=0))
        if move.is_recorded:
            statements.append(Statement("insert_change", [_change_row(move)], follows=0))
        statements.append(Statement("delete_preparation", [(move.run_id,)]))
        moved = await self._moved(
            self._db.write(a_piece(WriteClass.OUTCOME, *statements, size=size))
        )
        return moved[0] if moved else None

    async def _moved(self, answers: "asyncio.Future[list[Answer]]") -> list[Run]:
        return [run_from(row) for row in (await answers)[0]]

    async def clean(
        self, company: CompanyId, gate: GateId, at: datetime, limit: int
    ) -> list[RunId]:
        """Cancel up to `limit` never begun runs of a gate."""
        row = (company, gate, micros(at), limit)
        return await _accepted(
            self._db.write(a_piece(WriteClass.OUTCOME, Statement("clean_gate", (row,))))
        )

    async def cancel_between_attempts(
        self, company: CompanyId, gate: GateId, at: datetime
    ) -> list[RunId]:
        """Cancel begun runs of a gate that wait for another attempt."""
        return await self._cancelled("cancel_between_attempts", company, gate, at)

    async def cancel_queued(self, company: CompanyId, gate: GateId, at: datetime) -> list[RunId]:
        """Cancel queued runs of a gate that have never begun."""
        return await self._cancelled("cancel_queued", company, gate, at)

    async def _cancelled(
        self, query: str, company: CompanyId, gate: GateId, at: datetime
    ) -> list[RunId]:
        statement = Statement(query, ((company, gate, micros(at)),))
        return await _accepted(self._db.write(a_piece(WriteClass.OUTCOME, statement)))

    async def stage(self, now: datetime, limit: int) -> list[tuple[GateId, CompanyId, int]]:
        """Queue scheduled runs whose due instant has come, earliest first; per gate how many."""
        statement = Statement("stage_runs", ((micros(now), limit),))
        [rows] = await self._db.write(a_piece(WriteClass.MAINTENANCE, statement))
        counts = Counter((gate, company) for gate, company in rows)
        return [
            (GateId(gate), CompanyId(company), count) for (gate, company), count in counts.items()
        ]

    # ------------------------------------------------------------ inside a run

    async def record_step(self, step: StepRecord) -> bool:
        """Record a step once; False when the lease is lost."""
        value, digest = await keep_value(self._blobs, step.value)
        piece = a_piece(
            WriteClass.OUTCOME,
            Statement("holds_lease", ((step.run_id, step.company_id, step.token),), needs=1),
            Statement(
                "keep_step",
                ((step.run_id, step.name, step.occurrence, value, digest, micros(step.at)),),
            ),
            size=_ROW_SIZE + len(value or b""),
        )
        held, _ = await self._db.write(piece)
        return bool(held)

    async def report_progress(self, reports: Sequence[ProgressReport]) -> None:
        """Keep how far runs say they are."""
        rows = [(said.run_id, said.token, said.done, said.total) for said in reports]
        statement = Statement("report_progress", rows)
        await self._db.write(a_piece(WriteClass.MAINTENANCE, statement, is_relaxed=True))

    async def steps(self, runs: Sequence[RunId]) -> dict[RunId, list[tuple[str, int, bytes]]]:
        """The recorded steps of those runs that have any."""
        found: dict[RunId, list[tuple[str, int, bytes]]] = {}
        for run, name, occurrence, value, digest in await self._db.all(
            "steps_of_runs", run_ids=list(runs)
        ):
            loaded = await load_value(self._blobs, value, digest)
            found.setdefault(RunId(run), []).append((name, occurrence, loaded or b""))
        return found

    # ------------------------------------------------------------ leases

    async def leased(self, sessions: Sequence[SessionId], limit: int) -> list[LeasedRun]:
        """Runs that these sessions hold, smallest ids first."""
        rows = await self._db.all("leased_by_sessions", session_ids=list(sessions), limit=limit)
        return [_leased_from(row) for row in rows]

    async def leased_of_gate(self, company: CompanyId, gate: GateId) -> list[LeasedRun]:
        """Runs of a gate that are running or waiting (these have session 0), smallest ids first."""
        rows = await self._db.all("leased_of_gate", company_id=company, gate_id=gate)
        return [_leased_from(row) for row in rows]

    async def abandoned(self, now: datetime, limit: int) -> list[LeasedRun]:
        """Running runs whose session is closed, lapsed or unknown, smallest ids first."""
        rows = await self._db.all("abandoned_runs", now=micros(now), limit=limit)
        return [_leased_from(row) for row in rows]

    # ------------------------------------------------------------ reading

    async def next_due_at(self) -> datetime | None:
        """The earliest due instant of any scheduled run."""
        row = await self._db.one("next_due_at")
        return instant_or_none(row[0]) if row else None

    async def find(self, company: CompanyId, run: RunId) -> Run | None:
        """One run."""
        row = await self._db.one("find_run", company_id=company, run_id=run)
        return run_from(row) if row else None

    async def find_many(self, company: CompanyId, runs: Sequence[RunId]) -> list[Run]:
        """Several, ordered by id; unknown ones are absent."""
        rows = await self._db.all("find_runs", company_id=company, run_ids=list(runs))
        return [run_from(row) for row in rows]

    async def find_by_public_id(self, company: CompanyId, public_id: bytes) -> Run | None:
        """One run by its public id."""
        row = await self._db.one("find_run_by_public_id", company_id=company, public_id=public_id)
        return run_from(row) if row else None

    async def values(self, company: CompanyId, run: RunId) -> RunValues | None:
        """Its values."""
        return (await self.outputs(company, [run])).get(run)

    async def outputs(self, company: CompanyId, runs: Sequence[RunId]) -> dict[RunId, RunValues]:
        """The values of several runs."""
        rows = await self._db.all("run_values", company_id=company, run_ids=list(runs))
        found: dict[RunId, RunValues] = {}
        for run, input_value, input_digest, output_value, output_digest, error in rows:
            found[RunId(run)] = RunValues(
                input=await load_value(self._blobs, input_value, input_digest) or b"",
                output=await load_value(self._blobs, output_value, output_digest),
                error=_error_from(error),
            )
        return found

    async def attempts(self, company: CompanyId, run: RunId) -> list[Attempt]:
        """Its ended attempts, first to last."""
        rows = await self._db.all("attempts_of_run", company_id=company, run_id=run)
        return [
            Attempt(
                run_id=run,
                number=number,
                worker_id=worker,
                lease_token=token,
                begun_at=instant_or_none(begun_at),
                finished_at=instant(finished_at),
                outcome=OUTCOMES[outcome],
                error=_error_from(error),
            )
            for number, worker, token, begun_at, finished_at, outcome, error in rows
        ]

    async def page(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> RunPage:
        """Runs newest first."""
        part, total = await self._pages.page(company, filter, after, limit)
        runs, following = _shown(part, filter, limit)
        return RunPage(runs=runs, next=following, total=total.count, total_is_exact=total.is_exact)

    async def part(
        self,
        company: CompanyId,
        filter: RunFilter,  # noqa: A002
        after: Position | None,
        limit: int,
    ) -> RunPart:
        """A page without its total."""
        runs, following = _shown(
            await self._pages.part(company, filter, after, limit), filter, limit
        )
        return RunPart(runs=runs, next=following)

    async def occupied_gates(self) -> list[GateId]:
        """Gates with at least one queued run."""
        return [GateId(row[0]) for row in await self._db.all("occupied_gates")]

    async def gate_count(self, company: CompanyId, gate: GateId) -> GateCount:
        """What stands behind a gate."""
        row = await self._db.one("gate_count", company_id=company, gate_id=gate)
        queued, leased = row or (0, 0)
        return GateCount(gate_id=gate, queued=queued, leased=leased)

    async def queued_before(self, company: CompanyId, gate: GateId, rank: int, run: RunId) -> int:
        """How many queued runs of the gate go first; counts to 1,000 at most."""
        row = await self._db.one(
            "queued_before",
            company_id=company,
            gate_id=gate,
            rank=rank,
            run_id=run,
            limit=MOST_BEFORE,
        )
        return int(row[0]) if row else 0

    async def queued_totals(self) -> dict[CompanyId, int]:
        """Queued runs of each company that has any."""
        rows = await self._db.all("queued_totals")
        return {CompanyId(company): int(count) for company, count in rows if count}

    async def state_counts(self, company: CompanyId) -> dict[RunState, int]:
        """How many runs are in each non-final state."""
        counts: Counter[RunState] = Counter()
        for state, _, count in await self._db.all("kept_counts", company_id=company):
            if state < FIRST_FINAL_CODE and count:
                counts[STATES[state]] += count
        return dict(counts)

    async def gate_loads(self, company: CompanyId) -> list[GateLoad]:
        """What stands behind each gate of a company."""
        aside = {
            (gate, STATES[state]): count
            for gate, state, count in await self._db.all("aside_counts", company_id=company)
        }
        return [
            GateLoad(
                gate_id=gate,
                scheduled=scheduled,
                queued=queued,
                assigned=assigned,
                begun=begun,
                parked=aside.get((gate, RunState.PARKED), 0),
                preparing=aside.get((gate, RunState.PREPARING), 0),
            )
            for gate, scheduled, queued, assigned, begun in await self._db.all(
                "gate_loads", company_id=company
            )
        ]

    async def earliest_put_off(self, company: CompanyId, at: datetime) -> datetime | None:
        """When the first was made of the runs that were put off until this instant or later."""
        row = await self._db.one("earliest_put_off", company_id=company, at=micros(at))
        return instant_or_none(row[0]) if row else None

    # ------------------------------------------------------------ one run's story

    async def changes(self, company: CompanyId, run: RunId) -> list[Change]:
        """What was done to a run that its row forgets, in order."""
        rows = await self._db.all("run_changes", company_id=company, run_id=run)
        return [Change(at=instant(at), state=STATES[state], note=note) for at, state, note in rows]

    async def restarts(self, company: CompanyId, run: RunId) -> int:
        """How many runs were restarted from this one."""
        row = await self._db.one("count_restarts", company_id=company, run_id=run)
        return int(row[0]) if row else 0

    async def ancestors(self, company: CompanyId, run: RunId) -> list[RunId]:
        """Runs that this one goes back to, the nearest first."""
        rows = await self._db.all("ancestors_of", company_id=company, run_id=run)
        return [RunId(ancestor) for (ancestor,) in rows]

    async def recorded_steps(
        self, company: CompanyId, run: RunId
    ) -> list[tuple[str, int, datetime]]:
        """Its recorded steps (name, occurrence, when), in order, without their values."""
        rows = await self._db.all("recorded_steps", company_id=company, run_id=run)
        return [(name, occurrence, instant(at)) for name, occurrence, at in rows]

    # ------------------------------------------------------------ upkeep

    async def prune(
        self, company: CompanyId, task: TaskId | None, finished_before: datetime, limit: int
    ) -> int:
        """Delete ended runs with everything that belongs to them; how many."""
        before = micros(finished_before)
        asked = {"company_id": company, "finished_before": before, "limit": limit}
        if task is None:
            found = await self._db.all("prunable_runs_of_company", **asked)
        else:
            found = await self._db.all("prunable_runs", task_id=task, **asked)
        return await self._delete(company, found, before) if found else 0

    async def delete(self, company: CompanyId, runs: Sequence[RunId]) -> int:
        """Delete those of these runs that have ended; how many."""
        if not runs:
            return 0
        return await self._delete(company, [(run,) for run in sorted(runs)], _EVER)

    async def _delete(self, company: CompanyId, found: Sequence[Row], before: int) -> int:
        deletions = (Statement(query, found, follows=0) for query in _DELETIONS)
        rows = [(run, company, before) for (run,) in found]
        piece = a_piece(
            WriteClass.MAINTENANCE,
            Statement("delete_run", rows),
            *deletions,
            size=_ROW_SIZE * len(rows),
        )
        gone = (await self._db.write(piece))[0]
        chunks = Statement("delete_chunks", gone)
        await self._logs.write(a_piece(WriteClass.MAINTENANCE, chunks, is_relaxed=True))
        return len(gone)

    async def breaches(self, now: datetime, limit: int) -> list[Breach]:
        """Runs for which a promise does not hold."""
        runs = await self._db.all("broken_runs", now=micros(now), limit=limit)
        gates = await self._db.all("gates_over_limit", limit=limit)
        found = [Breach(promise=row[0], run_id=RunId(row[1]), detail=row[2]) for row in runs]
        for gate, allowed, running in gates:
            detail = f"{running} runs of gate {gate} are running, {allowed} may"
            found.append(Breach(promise="R7", run_id=None, detail=detail))
        return found[:limit]


_EVER = 2**62
"""Microseconds: later than anything."""

_DELETIONS = (
    "delete_input",
    "delete_output",
    "delete_attempts",
    "delete_steps",
    "delete_changes",
    "delete_start_keys",
    "delete_files_of_run",
    "delete_callbacks",
    "delete_preparation",
)


# ---------------------------------------------------------------- pieces


def run_row(run: NewRun) -> Row:
    """A new run as `insert_run` wants it."""
    return (
        run.id,
        run.public_id,
        run.company_id,
        run.task_id,
        run.version_id,
        run.gate_id,
        STATE_CODES[run.state],
        run.priority,
        run.rank,
        run.level,
        run.restarted_from,
        TRIGGER_CODES[run.trigger],
        run.schedule_id,
        micros(run.created_at),
        micros_or_none(run.due_at),
        micros_or_none(run.queued_at),
        run.started_by,
        micros_or_none(run.put_off_until),
    )


def start_piece(runs: Sequence[NewRun], inputs: Sequence[Columns], key: StartKey | None) -> Piece:
    """The insertion of runs, under their key if there is one."""
    statements: tuple[Statement, ...] = (
        Statement("insert_run", [run_row(run) for run in runs]),
        Statement(
            "insert_input", [(run.id, *columns) for run, columns in zip(runs, inputs, strict=True)]
        ),
    )
    if changes := [_start_change(run) for run in runs if run.note or run.state is RunState.PARKED]:
        statements = (*statements, Statement("insert_change", changes))
    statements += callback_statements(runs) + preparation_statements(runs)
    if key is not None:
        row = (
            key.company_id,
            key.key,
            key.request_digest,
            key.first_run_id,
            key.run_count,
            micros(key.created_at),
        )
        statements = (Statement("keep_start_key", (row,), needs=1), *statements)
    size = sum(_ROW_SIZE + len(value or b"") for value, _ in inputs)
    return Piece(WriteClass.START, statements, size)


def _start_change(run: NewRun) -> Row:
    """What only its history remembers of a new run: that it was parked at first, or a note."""
    return (run.id, micros(run.created_at), STATE_CODES[run.state], run.note)


def finish_piece(finishes: Sequence[Finish], outputs: Sequence[Columns]) -> Piece:
    """The ends of attempts: final ones with their outputs, others with their attempt kept."""
    ends: list[Row] = []
    values: list[Row] = []
    attempts: list[Row] = []
    returns: list[Row] = []
    size = 0
    for finish, (value, digest) in zip(finishes, outputs, strict=True):
        error = None if finish.error is None else _encode(finish.error)
        size += _ROW_SIZE + len(value or b"") + len(error or b"")
        if finish.state in FINAL_STATES:
            ends.append(_end_row(finish))
            if value is not None or digest is not None or error is not None:
                values.append((finish.run_id, value, digest, error))
        else:
            attempts.append(_attempt_row(finish, error))
            returns.append(_return_row(finish))
    statements: list[Statement] = []
    if ends:
        statements.append(Statement("finish_run", ends))
    if values:
        statements.append(Statement("insert_output", values, follows=0))
    if returns:
        statements.append(Statement("keep_attempt", attempts))
        statements.append(Statement("requeue_run", returns))
    return Piece(WriteClass.OUTCOME, tuple(statements), size)


def _end_row(finish: Finish) -> Row:
    return (
        finish.run_id,
        finish.company_id,
        finish.token,
        STATE_CODES[finish.state],
        None if finish.cause is None else CAUSE_CODES[finish.cause],
        OUTCOME_CODES[finish.outcome],
        micros(finish.finished_at),
        micros_or_none(finish.begun_at),
        finish.logged_errors,
    )


def _attempt_row(finish: Finish, error: bytes | None) -> Row:
    return (
        finish.run_id,
        finish.company_id,
        finish.token,
        micros_or_none(finish.begun_at),
        micros(finish.finished_at),
        OUTCOME_CODES[finish.outcome],
        error,
    )


def _return_row(finish: Finish) -> Row:
    return (
        finish.run_id,
        finish.company_id,
        finish.token,
        STATE_CODES[finish.state],
        micros_or_none(finish.begun_at),
        finish.logged_errors,
        micros_or_none(finish.due_at),
        micros_or_none(finish.queued_at),
        finish.rank,
    )


def _move_row(move: Move) -> Row:
    cause = move.cause if move.state in FINAL_STATES else None
    return (
        move.run_id,
        move.company_id,
        state_mask(move.sources),
        move.token,
        int(move.unbegun_only),
        int(move.unbegun_attempt_only),
        STATE_CODES[move.state],
        micros(move.at),
        None if cause is None else CAUSE_CODES[cause],
        micros_or_none(move.due_at),
        move.rank,
        micros_or_none(move.put_off_until),
    )


def _change_row(move: Move) -> Row:
    return (move.run_id, micros(move.at), STATE_CODES[move.state], move.note)


async def _accepted(answers: "asyncio.Future[list[Answer]]") -> list[RunId]:
    return [RunId(row[0]) for answer in await answers for row in answer]


# ---------------------------------------------------------------- decoding


def run_from(row: Row) -> Run:
    """A run from a row with all columns of its table, in the table's order."""
    return Run(
        id=row[0],
        public_id=bytes(row[1]),
        company_id=row[2],
        task_id=row[3],
        version_id=row[4],
        gate_id=row[5],
        state=STATES[row[6]],
        cause=CAUSES[row[7]],
        priority=row[8],
        rank=row[9],
        level=row[10],
        restarted_from=row[11],
        trigger=TRIGGERS[row[12]],
        schedule_id=row[13],
        created_at=instant(row[14]),
        due_at=instant_or_none(row[15]),
        queued_at=instant_or_none(row[16]),
        started_at=instant_or_none(row[17]),
        finished_at=instant_or_none(row[18]),
        attempt=row[19],
        begun_at=instant_or_none(row[20]),
        worker_id=row[21],
        # row[22] is the session, which only leases show
        lease_token=row[23],
        # row[24] is the outcome, which only attempts show
        logged_errors=row[25],
        progress_done=row[26],
        progress_total=row[27],
        started_by=row[28],
        put_off_until=instant_or_none(row[29]),
    )


def _shown(part: Part, wanted: RunFilter, limit: int) -> tuple[tuple[Run, ...], Position | None]:
    """The runs of a page, and where the next one begins."""
    runs = tuple(run_from(row) for row in part.rows[:limit])
    if len(part.rows) > limit:
        return runs, wanted.position_of(runs[-1])
    return runs, None if part.last is None else wanted.position_of(run_from(part.last))


def _leased_from(row: Row) -> LeasedRun:
    return LeasedRun(
        run_id=row[0],
        company_id=row[1],
        task_id=row[2],
        version_id=row[3],
        gate_id=row[4],
        session_id=SessionId(row[5] or 0),
        token=row[6],
        attempt=row[7],
        begun_at=instant_or_none(row[8]),
        priority=row[9],
        rank=row[10],
    )


_encode = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(RunError).decode


def _error_from(value: bytes | None) -> RunError | None:
    return None if value is None else _decode_error(value)
