"""Files: uploads, inputs of runs and what runs return. Bytes stand in the blob store."""

import builtins
import re
from collections.abc import AsyncIterator, Sequence

from runyard.engine.clock import Clock
from runyard.engine.ids import Ids
from runyard.model.companies import Company
from runyard.model.errors import FileNotFound, TooLarge
from runyard.model.files import StoredFile
from runyard.model.ids import CompanyId, FileId, RunId
from runyard.model.shapes import Shape
from runyard.stores.base import Store

DEFAULT_CONTENT_TYPE = "application/octet-stream"
LONGEST_NAME = 255
FILE_LIMIT = 4 * 1024**3
"""Bytes of one file."""
_UNWANTED = re.compile(r"[\x00-\x1f\x7f/\\]+")


def shown_name(name: str) -> str:
    """A name that is safe to show and to offer for saving; never used as a path."""
    tidy = _UNWANTED.sub("_", name).strip(" .")
    return tidy[:LONGEST_NAME] or "file"


class Files:
    """Keeps and gives out files."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def keep(
        self,
        company: CompanyId,
        name: str,
        content_type: str,
        parts: AsyncIterator[bytes],
        *,
        limit: int,
        run: RunId | None = None,
    ) -> StoredFile:
        """Keep a file durably; raises TooLarge beyond `limit` bytes, and keeps nothing then."""
        digest, size = await self.keep_blob(parts, limit=limit)
        file = StoredFile(
            id=FileId(await self._ids.take()),
            company_id=company,
            run_id=run,
            name=shown_name(name),
            content_type=content_type or DEFAULT_CONTENT_TYPE,
            size=size,
            digest=digest,
            created_at=self._clock.now(),
        )
        await self._store.files.create(file)
        return file

    async def keep_blob(self, parts: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Keep bytes durably; their digest and size. Raises TooLarge beyond `limit` bytes."""
        blob = await self._store.blobs.create()
        size = 0
        try:
            async for part in parts:
                size += len(part)
                if size > limit:
                    raise TooLarge(f"the file has more than {limit} bytes, the most allowed")
                await blob.write(part)
            return await blob.commit()
        except BaseException:
            await blob.abort()
            raise

    async def load(self, company: CompanyId, file_id: FileId) -> StoredFile:
        """One file; raises FileNotFound."""
        file = await self._store.files.find(company, file_id)
        if file is None:
            raise FileNotFound(f"there is no file {file_id}")
        return file

    async def list(self, company: CompanyId, limit: int) -> builtins.list[StoredFile]:
        """Files of a company, newest first."""
        return await self._store.files.list(company, limit)

    async def of_run(self, company: CompanyId, run: RunId) -> builtins.list[StoredFile]:
        """Files that a run returned."""
        return await self._store.files.of_run(company, run)

    def read(
        self, file: StoredFile, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Its bytes in parts."""
        return self._store.blobs.read(file.digest, offset, length)

    async def blob_size(self, digest: str) -> int | None:
        """Bytes of a blob; None when there is none."""
        return await self._store.blobs.size(digest)

    def blob(self, digest: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob (a bundle, a file) in parts."""
        return self._store.blobs.read(digest, offset)

    async def complete(
        self, company: Company, declared: Shape, value: bytes, mentioned: Sequence[FileId]
    ) -> bytes:
        """An accepted value with every file in its full form; raises InputRefused for files that
        the company does not have.
        """
        found = await self._store.files.find_many(company.id, mentioned)
        return declared.with_files(value, {file.id: file.reference() for file in found})
