"""JSON as this dialect takes it: strictly, but for one thing that the vendor's page itself does.

Its examples are indented with no-break spaces (U+00A0), which JSON does not allow. Whoever pastes
one sends them; so they count as spaces, outside of texts. Only a body that cannot be read otherwise
is looked at for them.
"""

import re
from typing import TypeVar

import msgspec

from runyard.model.errors import FieldProblem, InputRefused
from runyard.web.errors import MalformedBody
from runyard.web.validation import members_from_json, struct_from_json

SMALL = 64 * 1024
"""Bytes of a body that anybody may have looked at closely, before it is known who sends it."""

S = TypeVar("S", bound=msgspec.Struct)

_NO_BREAK_SPACE = "\u00a0".encode()
# Possessive, and content with a text that nothing ends: a body is gone through once, whatever it is.
_TEXT_OR_SPACE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|' + _NO_BREAK_SPACE, re.DOTALL)
_LONGEST_SEEN = 80


def struct_from(body: bytes, shape: type[S]) -> S:
    """A body as this shape; raises MalformedBody, InputRefused."""
    try:
        return struct_from_json(body, shape)
    except MalformedBody:
        spaced = _spaced(body)
        if spaced == body:
            raise
        return struct_from_json(spaced, shape)


def members_from(field: str, text: str) -> dict[str, msgspec.Raw]:
    """The members of the JSON object that a text holds; none for null.

    Raises MalformedBody, InputRefused, both naming the field that has the text.
    """
    raw = text.encode()
    try:
        return _members(raw)
    except MalformedBody as malformed:
        spaced = _spaced(raw)
        if spaced == raw:
            raise MalformedBody(f"{field}: {malformed.detail}") from None
        return members_from(field, spaced.decode())
    except InputRefused:
        seen = text if len(text) <= _LONGEST_SEEN else f"{text[:_LONGEST_SEEN]}..."
        problem = FieldProblem(field=field, seen=seen, allowed="a text that holds a JSON object")
        raise InputRefused([problem]) from None


def _members(raw: bytes) -> dict[str, msgspec.Raw]:
    return {} if raw.strip() == b"null" else members_from_json(raw)


def _spaced(body: bytes) -> bytes:
    """The body with no-break spaces outside of its texts as spaces; only what people may have pasted."""
    if len(body) > SMALL:
        return body
    return _TEXT_OR_SPACE.sub(lambda found: b" " if found[0] == _NO_BREAK_SPACE else found[0], body)
