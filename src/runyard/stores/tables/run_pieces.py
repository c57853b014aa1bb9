"""What is written about runs, as pieces: the statements of each, and the rows that they run for.

Values come as columns: who has a large one puts it into its blob before.
"""

from collections.abc import Sequence

from runyard.model.ids import CompanyId
from runyard.model.runs import RunError
from runyard.model.states import FINAL_STATES, RunState
from runyard.stores.codes import (
    CAUSE_CODES,
    OUTCOME_CODES,
    STATE_CODES,
    TRIGGER_CODES,
    micros,
    micros_or_none,
    state_mask,
)
from runyard.stores.contract.runs import Finish, Move, NewRun, StartKey
from runyard.stores.tables.at_once import at_once_statements
from runyard.stores.tables.callbacks import callback_statements
from runyard.stores.tables.pieces import Piece, Row, Statement, WriteClass, a_piece
from runyard.stores.tables.preparations import preparation_statements
from runyard.stores.tables.run_rows import encode_error
from runyard.stores.tables.values import Columns

ROW_SIZE = 300
"""About how many bytes of memory one row of a waiting piece takes."""

EVER = 2**62
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
    "delete_at_once",
)


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
    statements += at_once_statements(runs)
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
    size = sum(ROW_SIZE + len(value or b"") for value, _ in inputs)
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
        error = encode_error(finish.error)
        size += ROW_SIZE + len(value or b"") + len(error or b"")
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


def move_piece(moves: Sequence[Move]) -> Piece:
    """Changes of state, and what the history says of those that are recorded."""
    statements = [Statement("move_run", [_move_row(move) for move in moves])]
    if recorded := [_change_row(move) for move in moves if move.is_recorded]:
        statements.append(Statement("insert_change", recorded, follows=0))
    return a_piece(WriteClass.OUTCOME, *statements, size=ROW_SIZE * len(moves))


def prepared_piece(move: Move, input_columns: Columns | None, error: RunError | None) -> Piece:
    """A move out of preparing, with the input as it is now, if it was made, or why it was not."""
    statements = [Statement("move_run", [_move_row(move)])]
    size = 2 * ROW_SIZE
    if input_columns is not None:
        size += len(input_columns[0] or b"")
        statements.append(Statement("replace_input", [(move.run_id, *input_columns)], follows=0))
    if error is not None:
        row = (move.run_id, None, None, encode_error(error))
        statements.append(Statement("insert_output", [row], follows=0))
    if move.is_recorded:
        statements.append(Statement("insert_change", [_change_row(move)], follows=0))
    statements.append(Statement("delete_preparation", [(move.run_id,)]))
    return a_piece(WriteClass.OUTCOME, *statements, size=size)


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


def deletion_piece(company: CompanyId, runs: Sequence[Row], before: int) -> Piece:
    """The deletion of those of these runs that ended before then, with what belongs to them."""
    rows = [(run, company, before) for (run,) in runs]
    deletions = (Statement(query, runs, follows=0) for query in _DELETIONS)
    statement = Statement("delete_run", rows)
    return a_piece(WriteClass.MAINTENANCE, statement, *deletions, size=ROW_SIZE * len(rows))
