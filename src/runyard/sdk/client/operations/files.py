"""Files: for runs, and from them."""

import mimetypes
from pathlib import Path

import msgspec

from runyard.protocol.shapes import files as file_shapes
from runyard.sdk.client.operations.addresses import Addresses
from runyard.sdk.client.requests import Plan, Request, ask, get, operation


class FileOperations(Addresses):
    """Files: for runs, and from them."""

    @operation
    def upload(
        self, source: Path | bytes, *, name: str | None = None, content_type: str | None = None
    ) -> Plan[file_shapes.File]:
        """Keeps a file on the server, to be given to runs as {"file": id}."""
        shown = name or (source.name if isinstance(source, Path) else "upload")
        guessed = content_type or mimetypes.guess_type(shown)[0] or "application/octet-stream"
        request = Request(
            method="POST",
            path=self._path("files"),
            query={"name": shown},
            body=source,
            content_type=guessed,
        )
        return (yield from ask(request, file_shapes.File))

    @operation
    def file(self, file_id: int) -> Plan[file_shapes.File]:
        """What is known of a file."""
        return (yield from ask(get(self._path("files", file_id)), file_shapes.File))

    @operation
    def file_content(self, file_id: int) -> Plan[bytes]:
        """All bytes of a file."""
        answer = yield get(self._path("files", file_id, "content"))
        return answer.body

    @operation
    def download(self, file_id: int, to: Path) -> Plan[Path]:
        """Writes a file's content to a path."""
        request = get(self._path("files", file_id, "content"))
        yield msgspec.structs.replace(request, save_to=to)
        return to
