"""Files as task code sees them."""

from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from runyard.model.files import FileReference
from runyard.sdk.current import CURRENT

if TYPE_CHECKING:
    from mimetypes import MimeTypes

UNKNOWN_CONTENT = "application/octet-stream"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MORE_CONTENT_TYPES = {
    ".md": "text/markdown",
    ".log": "text/plain",
    ".yaml": "application/yaml",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
}


class File:
    """A file that goes into a task or comes out of it.

    As an input it is a local copy to read. To return a file, make one: `File(path)` for a file that
    is there, `File.write(name, data)` for one that is to be written.
    """

    __slots__ = ("content_type", "name", "path", "reference")

    def __init__(
        self, path: str | Path, *, name: str | None = None, content_type: str | None = None
    ) -> None:
        """Speak of the file at `path`.

        `name` is what receivers see (the path's last part by default), `content_type` its MIME type
        (by default guessed from the name).
        """
        self.path = Path(path)
        self.name = name or self.path.name
        self.content_type = content_type or _guess(self.name)
        self.reference: FileReference | None = None
        """The stored file this is a copy of; None for one that is not stored."""

    @classmethod
    def write(cls, name: str, data: bytes | str, *, content_type: str | None = None) -> "File":
        """Write a new file into the run's scratch folder; text is written as UTF-8."""
        path = _new_folder() / _valid_name(name)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return cls(path, content_type=content_type)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @overload
    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]: ...
    @overload
    def open(
        self, mode: Literal["r"], encoding: str = "utf-8", newline: str | None = None
    ) -> IO[str]: ...

    def open(
        self, mode: Literal["rb", "r"] = "rb", encoding: str = "utf-8", newline: str | None = None
    ) -> IO[Any]:
        """Open it for reading: bytes, or text with mode `r`."""
        if mode == "rb":
            return self.path.open("rb")
        return self.path.open("r", encoding=encoding, newline=newline)

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of it, as text."""
        return self.path.read_text(encoding=encoding)

    def __repr__(self) -> str:
        return f"File({str(self.path)!r}, name={self.name!r})"


def received(reference: FileReference) -> File:
    """The file that an input refers to, with a local copy of it."""
    channel = CURRENT.channel
    if channel is None:
        raise RuntimeError("stored files can be read by a run only")
    path = channel.fetch(reference)
    file = File(path, name=reference.name, content_type=reference.content_type)
    file.reference = reference
    return file


def returned(file: object) -> object:
    """How an output refers to this file; stores it unless it is stored already.

    What is no file is passed on, for the output's declaration to refuse.
    """
    if not isinstance(file, File):
        return file
    if file.reference is not None:
        return file.reference
    channel = CURRENT.channel
    if channel is None:
        raise RuntimeError("files can be stored by a run only")
    return channel.keep(file.path, name=file.name, content_type=file.content_type)


def _new_folder() -> Path:
    """An empty folder: several files of a run may have the same name."""
    import tempfile  # brings much along, and few tasks write files

    return Path(tempfile.mkdtemp(dir=CURRENT.channel.scratch() if CURRENT.channel else None))


def _valid_name(name: str) -> str:
    if not name or name in {".", ".."} or "/" in name or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} cannot be the name of a file")
    return name


def _guess(name: str) -> str:
    return _content_types().guess_type(name)[0] or UNKNOWN_CONTENT


@cache
def _content_types() -> "MimeTypes":
    from mimetypes import MimeTypes

    # Only the table that comes with Python: a machine's own would make tasks differ by machine.
    types = MimeTypes(filenames=())
    for extension, content_type in _MORE_CONTENT_TYPES.items():
        types.add_type(content_type, extension)
    return types
