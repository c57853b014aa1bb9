"""Log lines: packed into chunks on the way in, filtered by number and level on the way out."""

import zlib
from collections.abc import Sequence

import msgspec

from runyard.model.ids import CompanyId, RunId
from runyard.model.logs import LogLevel, LogLine
from runyard.stores.contract.logs import LogChunk
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece

_PACKING_THRESHOLD = 512
"""Bytes; packing less than this costs more than it saves."""

_CHUNKS_A_READ = 16

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[LogLine]).decode


class LogTable:
    """Log lines."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def append(self, chunks: Sequence[LogChunk]) -> None:
        """Keep lines, in order per run."""
        rows = [_chunk_row(chunk) for chunk in chunks if chunk.lines or chunk.dropped]
        if not rows:
            return
        size = sum(len(row[-1]) for row in rows)
        piece = a_piece(
            WriteClass.MAINTENANCE, Statement("insert_chunk", rows), size=size, is_relaxed=True
        )
        await self._db.write(piece)

    async def read(
        self, company: CompanyId, run: RunId, *, at_least: LogLevel, after: int, limit: int
    ) -> list[LogLine]:
        """Lines with a number above `after`, in order."""
        found: list[LogLine] = []
        while len(found) < limit:
            rows = await self._db.all(
                "read_chunks",
                company_id=company,
                run_id=run,
                top_level=int(at_least),
                after=after,
                limit=_CHUNKS_A_READ,
            )
            for row in rows:
                lines = _lines_from(row)
                found += [line for line in lines if line.number > after and line.level >= at_least]
                after = max(after, lines[-1].number)
            if len(rows) < _CHUNKS_A_READ:
                break
        return found[:limit]

    async def last_number(self, company: CompanyId, run: RunId) -> int:
        """The number of the run's last line; 0 when it has none."""
        row = await self._db.one("last_line", company_id=company, run_id=run)
        return int(row[0]) if row else 0

    async def dropped(self, company: CompanyId, run: RunId) -> int:
        """How many lines were left out."""
        row = await self._db.one("dropped_lines", company_id=company, run_id=run)
        return int(row[0]) if row else 0


def _chunk_row(chunk: LogChunk) -> Row:
    body = _encode(chunk.lines)
    is_packed = len(body) >= _PACKING_THRESHOLD
    # Dropped lines that no kept line accompanies are counted in a chunk of their own, numbered 0.
    first, last = (chunk.lines[0].number, chunk.lines[-1].number) if chunk.lines else (0, -1)
    return (
        chunk.run_id,
        chunk.company_id,
        first,
        last - first + 1,
        chunk.dropped,
        max((line.level.value for line in chunk.lines), default=-1),
        int(is_packed),
        zlib.compress(body, 1) if is_packed else body,
    )


def _lines_from(row: Row) -> list[LogLine]:
    _, is_packed, body = row
    return _decode(zlib.decompress(body) if is_packed else body)
