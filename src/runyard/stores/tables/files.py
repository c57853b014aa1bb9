"""Rows of stored files: binding and decoding."""

from collections.abc import Sequence

from runyard.model.files import StoredFile
from runyard.model.ids import CompanyId, FileId, RunId
from runyard.stores.codes import instant, micros
from runyard.stores.tables.pieces import Database, Row, Statement, WriteClass, a_piece


class FileTable:
    """Rows of stored files; the bytes are in the blobs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, file: StoredFile) -> None:
        """Keep a row whose blob is on disk already."""
        row = (
            file.id,
            file.company_id,
            file.run_id,
            file.name,
            file.content_type,
            file.size,
            file.digest,
            micros(file.created_at),
            file.place,
        )
        await self._db.write(a_piece(WriteClass.START, Statement("insert_file", (row,))))

    async def find(self, company: CompanyId, file: FileId) -> StoredFile | None:
        """One file."""
        row = await self._db.one("find_file", company_id=company, file_id=file)
        return _file_from(row) if row else None

    async def find_many(self, company: CompanyId, files: Sequence[FileId]) -> list[StoredFile]:
        """Several; unknown ones are absent."""
        rows = await self._db.all("find_files", company_id=company, file_ids=list(files))
        return [_file_from(row) for row in rows]

    async def of_run(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that a run returned, in order."""
        rows = await self._db.all("files_of_run", company_id=company, run_id=run)
        return [_file_from(row) for row in rows]

    async def has_blob(self, company: CompanyId, digest: str) -> bool:
        """Whether a bundle or a file of the company is this blob."""
        row = await self._db.one("company_has_blob", company_id=company, digest=digest)
        return row is not None and bool(row[0])

    async def fetched_for(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that were fetched for a run's input, by the place of their address."""
        rows = await self._db.all("files_fetched_for", company_id=company, run_id=run)
        return [_file_from(row) for row in rows]

    async def list(self, company: CompanyId, limit: int) -> list[StoredFile]:
        """Newest first."""
        rows = await self._db.all("list_files", company_id=company, limit=limit)
        return [_file_from(row) for row in rows]


def _file_from(row: Row) -> StoredFile:
    return StoredFile(
        id=row[0],
        company_id=row[1],
        run_id=row[2],
        name=row[3],
        content_type=row[4],
        size=row[5],
        digest=row[6],
        created_at=instant(row[7]),
        place=row[8],
    )
