"""Files that go into and come out of runs."""

from datetime import datetime

import msgspec

from runyard.model.ids import CompanyId, FileId, RunId


class FileReference(msgspec.Struct, frozen=True):
    """A stored file as it stands inside an input or output; its JSON is the form of a file."""

    file: FileId
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256, hex."""


class FileAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an input names by its address: it is fetched before the run is queued."""

    path: str
    """Where in the input it stands, such as `scans[2]`."""
    url: str
    name: str | None = None
    content_type: str | None = None


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the blob store, known by an id. Its name is only shown, never a path."""

    id: FileId
    company_id: CompanyId
    run_id: RunId | None
    """The run that returned it, or that it was fetched for; None for an upload."""
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256, hex; the blob's key."""
    created_at: datetime
    place: int | None = None
    """Which of the addresses in its run's input it was fetched from, from 0; None: it was not."""

    def reference(self) -> FileReference:
        """How values refer to it."""
        return FileReference(self.id, self.name, self.content_type, self.size, self.digest)
