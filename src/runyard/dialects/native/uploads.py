"""Bodies that are too large for memory: files come and go in parts."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]

from runyard.engine.files import DEFAULT_CONTENT_TYPE
from runyard.model.files import StoredFile
from runyard.web.asgi import Headers
from runyard.web.errors import MalformedBody, RangeRefused
from runyard.web.requests import Request

FORM = "multipart/form-data"
_MOST_FORM_OVERHEAD = 64 * 1024
_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")


class FormFile:
    """The one file of a multipart body: its name and type first, then its bytes as they come."""

    def __init__(self, segment: MultipartSegment, events: AsyncIterator[object]) -> None:
        self.name: str = segment.filename or "file"
        self.content_type: str = segment.content_type or DEFAULT_CONTENT_TYPE
        self._events = events

    async def parts(self) -> AsyncIterator[bytes]:
        """The file's bytes; raises MalformedBody when something follows that is not expected."""
        async for event in self._events:
            if event is None:
                break
            if isinstance(event, MultipartSegment):
                raise MalformedBody("the form has more than one file; upload one at a time")
            assert isinstance(event, bytes | bytearray)
            yield bytes(event)
        async for event in self._events:
            if isinstance(event, MultipartSegment):
                raise MalformedBody("the form has more than one part; upload one file at a time")


async def form_file(request: Request, limit: int) -> FormFile:
    """The file in a multipart body; raises MalformedBody, TooLarge."""
    header = request.headers.get(b"content-type", b"").decode("latin-1")
    _, options = parse_options_header(header)
    boundary = options.get("boundary")
    if not boundary:
        raise MalformedBody("the content type names no boundary")
    events = _form_events(request, boundary, limit)
    async for event in events:
        if isinstance(event, MultipartSegment):
            if event.filename is None:
                raise MalformedBody(f"the part {event.name!r} is no file: it has no filename")
            return FormFile(event, events)
    raise MalformedBody("the form has no file")


async def _form_events(request: Request, boundary: str, limit: int) -> AsyncIterator[object]:
    parser = PushMultipartParser(boundary, max_segment_count=8, header_charset="utf8")
    try:
        async for part in request.parts(limit + _MOST_FORM_OVERHEAD):
            for event in parser.parse(part):
                yield event
        parser.close()
    except MultipartError as error:
        raise MalformedBody(f"the form cannot be read: {error}") from None


def wanted_range(header: bytes | None, size: int) -> tuple[int, int] | None:
    """First byte and length that a Range header asks for; None for all. Raises RangeRefused."""
    if header is None:
        return None
    match = _RANGE.fullmatch(header.decode("latin-1").replace(" ", ""))
    if match is None or (not match["first"] and not match["last"]):
        return None  # a form that is not served here is as good as none
    if not match["first"]:
        length = min(int(match["last"]), size)
        first, last = size - length, size - 1
    else:
        first = int(match["first"])
        last = min(int(match["last"]), size - 1) if match["last"] else size - 1
    if match["first"] and match["last"] and int(match["last"]) < first:
        return None
    if first >= size or last < first:
        raise RangeRefused(size)
    return first, last - first + 1


def download_headers(file: StoredFile) -> Headers:
    """Headers that make a browser save a file and never show or run it."""
    plain = re.sub(r"[^ !#-\[\]-~]", "_", file.name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    return [
        (b"content-disposition", disposition.encode("ascii")),
        (b"accept-ranges", b"bytes"),
        (b"etag", f'"{file.digest}"'.encode()),
    ]
