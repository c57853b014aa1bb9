"""Parts of lists, and the cursors that lead from one to the next.

A cursor is opaque to callers. It names the last item of its page, so items that come or go
elsewhere in the list neither repeat nor hide any.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from runyard.model.errors import InputRefused
from runyard.protocol.shapes.parts import PageQuery
from runyard.stores.contract.listing import Position
from runyard.web.requests import refused

T = TypeVar("T")

_POSITION = msgspec.json.Decoder(Position)


def encode_cursor(text: bytes) -> str:
    """A cursor for what it is made of."""
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> bytes:
    """What a cursor is made of; raises InputRefused."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_cursor(cursor) from None


def position_from(cursor: str | None) -> Position | None:
    """Where a page of runs begins; raises InputRefused."""
    if cursor is None:
        return None
    try:
        position = _POSITION.decode(decode_cursor(cursor))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _no_cursor(cursor) from None
    if position.at.tzinfo is None or not 0 <= position.run_id < 2**63:
        raise _no_cursor(cursor)
    return position


def cursor_from(position: Position | None) -> str | None:
    """The cursor that leads to what follows this position."""
    return None if position is None else encode_cursor(msgspec.json.encode(position))


def part_of(
    items: Sequence[T], query: PageQuery, id_of: Callable[[T], object]
) -> tuple[Sequence[T], str | None]:
    """The wanted part of a whole list, and the cursor of the next one; raises InputRefused."""
    begin = 0
    if query.cursor is not None:
        last = decode_cursor(query.cursor)
        ids = [str(id_of(item)).encode() for item in items]
        if last not in ids:
            raise _no_cursor(query.cursor)
        begin = ids.index(last) + 1
    part = items[begin : begin + query.limit]
    if not part or begin + len(part) >= len(items):
        return part, None
    return part, encode_cursor(str(id_of(part[-1])).encode())


def _no_cursor(cursor: str) -> InputRefused:
    return refused("cursor", cursor[:80], "`next` of an earlier page of this list")
