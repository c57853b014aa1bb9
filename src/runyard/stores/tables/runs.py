"""Runs: binding and decoding.

`start`, `begin`, `finish` and `move`, and `claim` of leases, are plain functions that enqueue at once and return
what is to be awaited: calls of the same turn share a group even before anybody awaits them.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from runyard.model.ids import CompanyId, GateId, RunId, TaskId
from runyard.model.runs import Run
from runyard.stores.codes import micros
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.listing import Position, RunFilter, RunPage, RunPart
from runyard.stores.contract.preparations import Prepared
from runyard.stores.contract.runs import (
    Beginning,
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
from runyard.stores.tables.pages import Pages, Part
from runyard.stores.tables.pieces import (
    Answer,
    Database,
    Row,
    Statement,
    WriteClass,
    a_piece,
    enqueue,
)
from runyard.stores.tables.run_pieces import (
    EVER,
    ROW_SIZE,
    deletion_piece,
    finish_piece,
    move_piece,
    prepared_piece,
    start_piece,
)
from runyard.stores.tables.run_rows import error_from, run_from
from runyard.stores.tables.values import Columns, are_inline, keep_value, load_value


class RunTable:
    """Runs, their values, attempts and steps."""

    def __init__(self, db: Database, logs: Database, blobs: Blobs) -> None:
        self._db = db
        self._logs = logs
        self._blobs = blobs
        self._pages = Pages(db)

    # ------------------------------------------------------------ starting

    def start(
        self, runs: Sequence[NewRun], key: StartKey | None = None
    ) -> Coroutine[Any, Any, StartOutcome]:
        """Insert these runs with their inputs, all or none; none when the key is known already."""
        if are_inline(run.input for run in runs):
            piece = start_piece(runs, [(run.input, None) for run in runs], key)
            return self._started(enqueue(self._db, piece), runs, key)
        return self._start_large(runs, key)

    async def _start_large(self, runs: Sequence[NewRun], key: StartKey | None) -> StartOutcome:
        inputs = [await keep_value(self._blobs, run.input) for run in runs]
        return await self._started(enqueue(self._db, start_piece(runs, inputs, key)), runs, key)

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

    # ------------------------------------------------------------ moving

    def begin(self, beginnings: Sequence[Beginning]) -> Coroutine[Any, Any, list[RunId]]:
        """Record that attempts reached their code."""
        rows = [(item.run_id, item.token, micros(item.at)) for item in beginnings]
        piece = a_piece(
            WriteClass.OUTCOME,
            Statement("begin_attempt", rows),
            size=ROW_SIZE * len(rows),
            is_relaxed=True,
        )
        return _accepted(enqueue(self._db, piece))

    def finish(self, finishes: Sequence[Finish]) -> Coroutine[Any, Any, list[RunId]]:
        """End attempts; answers the accepted ones."""
        if are_inline(finish.output for finish in finishes):
            outputs: list[Columns] = [(finish.output, None) for finish in finishes]
            return _accepted(enqueue(self._db, finish_piece(finishes, outputs)))
        return self._finish_large(finishes)

    async def _finish_large(self, finishes: Sequence[Finish]) -> list[RunId]:
        outputs = [await keep_value(self._blobs, finish.output) for finish in finishes]
        return await _accepted(self._db.write(finish_piece(finishes, outputs)))

    def move(self, moves: Sequence[Move]) -> Coroutine[Any, Any, list[Run]]:
        """Change states; answers the changed runs as they are now."""
        return self._moved(enqueue(self._db, move_piece(moves)))

    async def end_preparing(self, move: Move, prepared: Prepared) -> Run | None:
        """Move a run out of preparing, with its input or error."""
        columns: Columns | None = None
        if prepared.input is not None:
            columns = await keep_value(self._blobs, prepared.input)
        piece = prepared_piece(move, columns, prepared.error)
        moved = await self._moved(self._db.write(piece))
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
            size=ROW_SIZE + len(value or b""),
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

    # ------------------------------------------------------------ reading

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
                error=error_from(error),
            )
        return found

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
        return await self._delete(company, [(run,) for run in sorted(runs)], EVER)

    async def _delete(self, company: CompanyId, found: Sequence[Row], before: int) -> int:
        piece = deletion_piece(company, found, before)
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


async def _accepted(answers: "asyncio.Future[list[Answer]]") -> list[RunId]:
    return [RunId(row[0]) for answer in await answers for row in answer]


def _shown(part: Part, wanted: RunFilter, limit: int) -> tuple[tuple[Run, ...], Position | None]:
    """The runs of a page, and where the next one begins."""
    runs = tuple(run_from(row) for row in part.rows[:limit])
    if len(part.rows) > limit:
        return runs, wanted.position_of(runs[-1])
    return runs, None if part.last is None else wanted.position_of(run_from(part.last))
