"""Untrusted values into typed ones, with every refusal saying where, what was seen, what is allowed.

JSON is read strictly: one value, in UTF-8, no name twice in an object, no fields that the shape
does not have. A place that cannot be read is named by line and column, and an invisible character
by its name.
"""

import ast
import enum
import json
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from runyard.model.errors import FieldProblem, InputRefused
from runyard.web.errors import MalformedBody

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

_AT_BYTE = re.compile(r"^JSON is malformed: (?P<what>.*) \(byte (?P<byte>\d+)\)$")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected (?P<allowed>.*?)(?:, got (?P<seen>.*))?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>.*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>.*)`$")
_TYPES = re.compile(r"`([^`]*)`")
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "object": "an object",
    "array": "a list",
}
_PATTERN = re.compile(r" matching regex (?P<pattern>'.*')$", re.DOTALL)
_PATTERNS = {
    r"^[^\x00-\x1f\x7f]*$": ", on one line and without control characters",
    r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$": ", 1 to 63 of a-z, 0-9 and inner hyphens",
    r"^\d{1,18}$": ", up to 18 digits",
}
"""What patterns of ours come to, for people."""
_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_PATH_PART = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")
_LONGEST_SEEN = 80
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@lru_cache(maxsize=256)
def _decoder(shape: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def struct_from_json(body: bytes, shape: type[S]) -> S:
    """The JSON value as this shape; raises MalformedBody or InputRefused."""
    value: S = _decoded(_decoder(shape), body, shape)
    return value


def members_from_json(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as it was written; raises MalformedBody or InputRefused."""
    return _decoded(_MEMBERS, body, msgspec.Struct)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, shape: type[msgspec.Struct]) -> T:
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InputRefused([problem_of(error, shape, _untyped(body))]) from None
    except msgspec.DecodeError as error:
        raise MalformedBody(_malformed(body, str(error))) from None
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise MalformedBody("the body is nested too deeply") from None
    refuse_repeated_names(body)
    return value


def struct_from_strings(values: dict[str, object], shape: type[S]) -> S:
    """Query values as this shape; raises InputRefused."""
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise InputRefused([problem_of(error, shape, values)]) from None


def refuse_repeated_names(body: bytes) -> None:
    """Raise when any object of this well-formed JSON has a name twice: readers would disagree."""
    if len(body) <= _SMALL and ESCAPED_COLON not in body and _has_a_use_for_each_colon(body):
        return  # None was there twice: of those only one is kept.
    try:
        _STRICT.decode(body.decode())
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise MalformedBody("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(str(error)) from None
    except ValueError:
        raise MalformedBody("a number in it has more digits than can be read") from None


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        # Counted in one pass: each name among all of them would take hours for a body of many.
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise MalformedBody(f"an object has the name {repeated[:_LONGEST_SEEN]!r} twice")


def _has_a_use_for_each_colon(body: bytes) -> bool:
    try:
        return body.count(b":") == _colons_of(_decode_any(body))
    except (ValueError, RecursionError):
        return False


def _colons_of(value: Any) -> int:  # noqa: ANN401 - any JSON
    """How many names the objects of a value have, and colons its texts, all together."""
    if isinstance(value, dict):
        return len(value) + sum(map(_colons_of, value.values()))
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, list):
        return sum(map(_colons_of, value))
    return 0


_SMALL = 4096
"""Bytes of a body whose names are counted first, which is quick."""
ESCAPED_COLON = b"\\u003"
"""Begins the one way to write a colon into a text that is not seen as one."""
_decode_any = msgspec.json.Decoder().decode

# Built once; the values that it builds are thrown away, only the names are looked at.
_STRICT = json.JSONDecoder(object_pairs_hook=_refuse_repeated)


def _malformed(body: bytes, message: str) -> str:
    """What is wrong with the JSON, by line and column, naming what cannot be seen."""
    if not body.strip():
        return "the body is empty; send a JSON object"
    match = _AT_BYTE.match(message)
    if match is None and _is_half_a_character(body):
        return "a text in it has half of a character: \\ud800 to \\udfff stand in pairs"
    if match is None:
        return f"the JSON ends too early ({message[:1].lower()}{message[1:]})"
    offset = int(match["byte"])
    before = body[:offset].decode(errors="replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"{match['what']} at line {line}, column {column}{_named_character(body, offset)}"


def _is_half_a_character(body: bytes) -> bool:
    try:
        json.loads(body, parse_int=str)  # which takes halves
    except (ValueError, RecursionError):
        return False
    return _HALF.search(body) is not None


def _named_character(body: bytes, offset: int) -> str:
    rest = body[offset : offset + 4].decode(errors="ignore")
    if not rest or rest[0].isascii():
        return ""
    character = rest[0]
    name = unicodedata.name(character, "unnamed character")
    is_visible = unicodedata.category(character)[0] not in "ZC"
    return f": {'the character' if is_visible else 'an invisible'} U+{ord(character):04X} {name}"


def _untyped(body: bytes) -> object:
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def problem_of(
    error: msgspec.ValidationError, shape: type[msgspec.Struct], value: object
) -> FieldProblem:
    """A failed validation as the field at fault, what was seen and what is allowed."""
    place = _PLACE.match(str(error))
    assert place is not None
    what, path = place["what"], place["path"] or "$"
    field = path.removeprefix("$").removeprefix(".") or "body"
    if missing := _MISSING.match(what):
        name = missing["field"] if field == "body" else f"{field}.{missing['field']}"
        return FieldProblem(field=name, seen="nothing", allowed="it must be given")
    if unknown := _UNKNOWN.match(what):
        name = unknown["field"] if field == "body" else f"{field}.{unknown['field']}"
        return FieldProblem(field=name, seen="an unknown name", allowed=_names_at(shape, path))
    expected = _EXPECTED.match(what)
    allowed = _allowed(expected["allowed"]) if expected else what
    if what.startswith("Invalid enum value"):
        allowed = _words_at(shape, path) or what
    is_text = expected is not None and expected["seen"] == "`str`"
    return FieldProblem(field=field, seen=_seen_at(value, path, is_text=is_text), allowed=allowed)


def _allowed(expected: str) -> str:
    return _PATTERN.sub(_pattern_in_words, _TYPES.sub(_in_words, expected))


def _pattern_in_words(found: re.Match[str]) -> str:
    return _PATTERNS.get(ast.literal_eval(found["pattern"]), found[0])


def _in_words(types: re.Match[str]) -> str:
    """Types as whoever sends JSON calls them, and not as Python does."""
    return " or ".join(_WORDS.get(name, name) for name in types[1].split(" | "))


def _seen_at(value: object, path: str, *, is_text: bool) -> str:
    """The value that a path leads to; quoted if it is text at fault for being text that looks like
    something else, such as "true".
    """
    for part in _PATH_PART.finditer(path):
        if isinstance(value, dict):
            value = value.get(part["name"])
        elif (
            isinstance(value, list)
            and part["index"] is not None
            and int(part["index"]) < len(value)
        ):
            value = value[int(part["index"])]
    is_plain = isinstance(value, str) and value and not (is_text and _looks_like_json(value))
    text = str(value) if is_plain else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SEEN else text[:_LONGEST_SEEN] + "..."


def _looks_like_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _type_at(shape: type[msgspec.Struct], path: str) -> object:
    """The annotation of the field that a path leads to, through structs and sequences."""
    found: object = shape
    for part in _PATH_PART.finditer(path):
        struct = _first(found, msgspec.Struct)
        if part["name"] is not None and struct is not None:
            found = get_type_hints(struct).get(_attribute(struct, part["name"]))
    return found


def _attribute(struct: type, written: str) -> str:
    """What a struct calls a field that is written so."""
    for field in msgspec.structs.fields(struct):
        if field.encode_name == written:
            return field.name
    return written


def _first(annotation: object, kind: type) -> type | None:
    """The first class of this kind that stands anywhere in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, kind):
        return annotation
    for argument in get_args(annotation):
        found = _first(argument, kind)
        if found is not None:
            return found
    return None


def _names_at(shape: type[msgspec.Struct], path: str) -> str:
    struct = _first(_type_at(shape, path), msgspec.Struct) or shape
    names = ", ".join(field.encode_name for field in msgspec.structs.fields(struct))
    return names or "nothing"


def _words_at(shape: type[msgspec.Struct], path: str) -> str:
    words = _first(_type_at(shape, path), enum.Enum)
    if words is None or not issubclass(words, enum.Enum):
        return ""
    return ", ".join(str(word.value) for word in words)
