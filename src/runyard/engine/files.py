"""Files: uploads, inputs of runs and what runs return. Bytes stand in the blob store."""

import builtins
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from runyard.engine.clock import Clock
from runyard.engine.ids import Ids
from runyard.engine.patience import until_done
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, FileNotFound, InputRefused, TooLarge
from runyard.model.files import StoredFile
from runyard.model.ids import CompanyId, FileId, RunId
from runyard.model.shapes import Shape
from runyard.stores.contract.store import Store

DEFAULT_CONTENT_TYPE = "application/octet-stream"
LONGEST_NAME = 255
WRITTEN_AT_ONCE = 256 * 1024
"""Bytes of a blob that are written in one go; smaller ones take one step in all."""
FILE_LIMIT = 4 * 1024**3
"""Bytes of one file."""
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(?: *;[ -~]{0,200})?", re.ASCII)
REFERENCE_MARK = b'"digest"'
"""Stands in every value that refers to a file by its content."""
_DIGEST_LENGTH = 64
_UNWANTED = re.compile(r"[\x00-\x1f\x7f/\\]+")

T = TypeVar("T")


def shown_name(name: str) -> str:
    """A name that is safe to show and to offer for saving; never used as a path."""
    tidy = _UNWANTED.sub("_", name).strip(" .")
    return tidy[:LONGEST_NAME] or "file"


def shown_type(content_type: str) -> str:
    """A content type that is safe to send as a header; the general one instead of any other."""
    return content_type if _MEDIA_TYPE.fullmatch(content_type) else DEFAULT_CONTENT_TYPE


class Files:
    """Keeps and gives out files."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def keep(  # noqa: PLR0913 - what a file is
        self,
        company: CompanyId,
        name: str,
        content_type: str,
        parts: AsyncIterator[bytes],
        *,
        limit: int,
        run: RunId | None = None,
        place: int | None = None,
        patient: bool = False,
    ) -> StoredFile:
        """Keep a file durably; raises TooLarge beyond `limit` bytes, and keeps nothing then.

        `place`: it was fetched for this run, from the address at this place in its input. `patient`:
        wait for a database that is away.
        """
        digest, size = await self.keep_blob(parts, limit=limit, patient=patient)

        async def named() -> StoredFile:
            file = StoredFile(
                id=FileId(await self._ids.take()),
                company_id=company,
                run_id=run,
                name=shown_name(name),
                content_type=shown_type(content_type),
                size=size,
                digest=digest,
                created_at=self._clock.now(),
                place=place,
            )
            await self._store.files.create(file)
            return file

        return await self._done(named, patient=patient)

    async def _done(self, work: Callable[[], Awaitable[T]], *, patient: bool) -> T:
        return await (until_done(self._clock, "keep a file", work) if patient else work())

    async def keep_blob(
        self, parts: AsyncIterator[bytes], *, limit: int, patient: bool = False
    ) -> tuple[str, int]:
        """Keep bytes durably; their digest and size. Raises TooLarge beyond `limit` bytes."""
        size, gathered, gathered_size = 0, [], 0
        blob = None
        try:
            async for part in parts:
                size += len(part)
                if size > limit:
                    raise TooLarge(f"the file has more than {limit} bytes, the most allowed")
                gathered.append(part)
                gathered_size += len(part)
                if gathered_size >= WRITTEN_AT_ONCE:
                    blob = blob or await self._store.blobs.create()
                    await blob.write(b"".join(gathered))
                    gathered, gathered_size = [], 0
            rest = b"".join(gathered)
            if blob is None:
                put = partial(self._store.blobs.put, rest)
                return await self._done(put, patient=patient), size
            await blob.write(rest)
            return await self._done(blob.commit, patient=patient)
        except BaseException:
            if blob is not None:
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

    async def has_blob(self, company: CompanyId, digest: str) -> bool:
        """Whether a bundle or a file of the company is this blob."""
        return await self._store.files.has_blob(company, digest)

    def blob(self, digest: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob (a bundle, a file) in parts."""
        return self._store.blobs.read(digest, offset)

    async def complete(self, company: Company, declared: Shape, value: bytes) -> bytes:
        """An accepted value with every file in its full form; raises InputRefused for files that
        the company does not have. Costs nothing for values without files.
        """
        if mentioned := declared.files_in(value):
            found = await self._store.files.find_many(company.id, mentioned)
            value = declared.with_files(value, {file.id: file.reference() for file in found})
        # A worker fetches whatever has the form of a file, also where any JSON is allowed.
        if REFERENCE_MARK in value:
            await self._refuse_foreign(company, references_in(value))
        return value

    async def _refuse_foreign(self, company: Company, references: Mapping[FileId, str]) -> None:
        found = await self._store.files.find_many(company.id, list(references))
        own = {file.id: file.digest for file in found}
        problems = [
            FieldProblem(field="input", seen=f"file {file}", allowed="a file of the company")
            for file, digest in references.items()
            if own.get(file) != digest
        ]
        if problems:
            raise InputRefused(problems)


def references_in(value: bytes) -> dict[FileId, str]:
    """What has the form of a stored file anywhere in this JSON: digests by file."""
    found: dict[FileId, str] = {}
    waiting: builtins.list[Any] = [msgspec.json.decode(value)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
            if _is_reference(part):
                file, digest = FileId(part["file"]), part["digest"]
                # Two digests under one id cannot both be right.
                found[file] = digest if found.get(file, digest) == digest else ""
    return found


def _is_reference(part: Mapping[str, Any]) -> bool:
    digest = part.get("digest")
    return (
        isinstance(digest, str)
        and len(digest) == _DIGEST_LENGTH
        and isinstance(part.get("file"), int)
        and isinstance(part.get("size"), int)
    )
