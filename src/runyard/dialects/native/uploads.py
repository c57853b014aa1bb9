"""Bodies that are too large for memory: files come in parts."""

from collections.abc import AsyncIterator

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]

from runyard.engine.files import DEFAULT_CONTENT_TYPE
from runyard.web.errors import MalformedBody
from runyard.web.requests import Request

FORM = "multipart/form-data"
_MOST_FORM_OVERHEAD = 64 * 1024


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
