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


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the blob store, known by an id. Its name is only shown, never a path."""

    id: FileId
    company_id: CompanyId
    run_id: RunId | None
    """The run that returned it; None for an upload."""
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256, hex; the blob's key."""
    created_at: datetime

    def reference(self) -> FileReference:
        """How values refer to it."""
        return FileReference(self.id, self.name, self.content_type, self.size, self.digest)
