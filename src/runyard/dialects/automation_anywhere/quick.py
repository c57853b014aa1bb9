"""The input of an execution read at once, where it is as plain as nearly every input is.

`reading` takes whatever callers of the dialect send and says what is wrong with the rest. Most of them
send scalars in the dialect's own form and nothing else; that is one decoding into a shape made for the
version. What does not fit it is no error: `reading` looks at it then.
"""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Literal

import msgspec

from runyard.model.types import Boolean, Email, Field, Integer, Number, Text, ValueType
from runyard.web.responses import ENCODER
from runyard.web.validation import ESCAPED_COLON

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST_NUMBER = 400
_LONGEST_WHOLE = 18
_COLONS = 3
"""Of a value: behind its name, and behind each of its two members."""

astuple = msgspec.structs.astuple


class _NumberValue(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["NUMBER"]
    number: str


class _TextValue(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["STRING"]
    string: str


class _BooleanValue(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["BOOLEAN"]
    boolean: Literal["true", "false"]


def _number(value: _NumberValue) -> float | None:
    text = value.number
    is_plain = text.isascii() and text.replace(".", "", 1).isdecimal()
    if len(text) > _LONGEST_NUMBER or not (is_plain or _NUMBER.fullmatch(text)):
        return None
    number = float(text)
    return number if isfinite(number) else None


def _whole(value: _NumberValue) -> int | None:
    text = value.number
    if len(text) > _LONGEST_WHOLE or not (text.isascii() and text.isdecimal()):
        return None
    return int(text)


def _text(value: _TextValue) -> str:
    return value.string


def _boolean(value: _BooleanValue) -> bool:
    return value.boolean == "true"


_Reader = Callable[[Any], Any]
_KINDS: dict[type[ValueType], tuple[type[msgspec.Struct], _Reader]] = {
    Number: (_NumberValue, _number),
    Integer: (_NumberValue, _whole),
    Text: (_TextValue, _text),
    Email: (_TextValue, _text),
    Boolean: (_BooleanValue, _boolean),
}


class QuickInputs:
    """Reads the plain inputs of one version."""

    def __init__(self, inputs: tuple[Field, ...]) -> None:
        kinds = [_KINDS.get(type(field.type)) for field in inputs]
        self._readers: list[tuple[str, _Reader]] = []
        self._decoder: msgspec.json.Decoder[Any] | None = None
        known = [kind for kind in kinds if kind is not None]
        if len(known) == len(inputs):
            names = [field.name for field in inputs]
            self._readers = [(name, kind[1]) for name, kind in zip(names, known, strict=True)]
            self._decoder = msgspec.json.Decoder(_asked(names, [kind[0] for kind in known]))

    def read(self, body: bytes) -> bytes | None:
        """The input as JSON of our own; None when it has to be looked at more closely."""
        if self._decoder is None or ESCAPED_COLON in body:
            return None
        try:
            given = astuple(self._decoder.decode(body).values)
        except (ValueError, RecursionError):
            return None
        values: dict[str, Any] = {}
        colons = 1
        for (name, read), value in zip(self._readers, given, strict=True):
            if value is not None:
                found = read(value)
                if found is None:
                    return None
                colons += _COLONS
                if type(found) is str:
                    colons += found.count(":")
                values[name] = found
        # A name that stands there twice is kept once: then there are more colons than that needs.
        return ENCODER.encode(values) if body.count(b":") == colons else None


def _asked(names: list[str], kinds: list[type[msgspec.Struct]]) -> type[msgspec.Struct]:
    """The shape of a body with these variables, each of which may be missing."""
    places = [f"f{place}" for place in range(len(names))]
    values = msgspec.defstruct(
        "Values",
        [(place, kind | None, None) for place, kind in zip(places, kinds, strict=True)],
        rename=dict(zip(places, names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.defstruct(
        "Asked",
        [("values", values)],
        rename={"values": "botInput"},
        forbid_unknown_fields=True,
        gc=False,
    )
