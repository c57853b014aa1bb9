"""The part of the Store contract that is about stored files; their bytes are in `blobs`."""

from collections.abc import Sequence
from typing import Protocol

from runyard.model.files import StoredFile
from runyard.model.ids import CompanyId, FileId, RunId


class Files(Protocol):
    """Rows of stored files; the bytes are in the blobs."""

    async def create(self, file: StoredFile) -> None:
        """Keep a row whose blob is on disk already."""

    async def find(self, company: CompanyId, file: FileId) -> StoredFile | None:
        """One file."""

    async def find_many(self, company: CompanyId, files: Sequence[FileId]) -> list[StoredFile]:
        """Several; unknown ones are absent."""

    async def of_run(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that a run returned, in order."""

    async def has_blob(self, company: CompanyId, digest: str) -> bool:
        """Whether a bundle or a file of the company is this blob."""

    async def fetched_for(self, company: CompanyId, run: RunId) -> list[StoredFile]:
        """Files that were fetched for a run's input, by the place of their address."""

    async def list(self, company: CompanyId, limit: int) -> list[StoredFile]:
        """Newest first."""
