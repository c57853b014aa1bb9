"""Rows of runs as the values that they stand for."""

import msgspec

from runyard.model.runs import Run, RunError
from runyard.stores.codes import CAUSES, STATES, TRIGGERS, instant, instant_or_none
from runyard.stores.tables.pieces import Row


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


_encode_error = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(RunError).decode


def encode_error(error: RunError | None) -> bytes | None:
    """Why an attempt, a run or a call failed, as it is kept."""
    return None if error is None else _encode_error(error)


def error_from(value: bytes | None) -> RunError | None:
    """Why it failed, from what was kept."""
    return None if value is None else _decode_error(value)
