"""Files going out: which part is wanted, and the headers that make a browser save and never show it."""

import re
from urllib.parse import quote

from runyard.engine.files import Files
from runyard.model.files import StoredFile
from runyard.web.asgi import Headers
from runyard.web.errors import RangeRefused
from runyard.web.responses import ByteStream

_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")


def download(
    files: Files, file: StoredFile, wanted: bytes | None, *, name: str = "", media: str = ""
) -> ByteStream:
    """The file, or the part of it that a Range header asks for; raises RangeRefused.

    `name` and `media` say it otherwise than the file does.
    """
    part = wanted_range(wanted, file.size)
    headers = _headers(name or file.name, file.digest)
    content_type = (media or file.content_type).encode("ascii", "replace")
    if part is None:
        return ByteStream(files.read(file), file.size, content_type=content_type, headers=headers)
    first, length = part
    span = b"bytes %d-%d/%d" % (first, first + length - 1, file.size)
    return ByteStream(
        files.read(file, first, length),
        length,
        status=206,
        content_type=content_type,
        headers=[*headers, (b"content-range", span)],
    )


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


def _headers(name: str, digest: str) -> Headers:
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return [
        (b"content-disposition", disposition.encode("ascii")),
        (b"accept-ranges", b"bytes"),
        (b"etag", f'"{digest}"'.encode()),
    ]
