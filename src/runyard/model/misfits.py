"""Why a value does not fit its fields: every problem at once, in words.

This is the slow way, taken only for values that `runyard.model.shapes` has found wanting. It must
find at least one problem wherever the fast way found one; what it cannot explain itself is
reported in the fast way's words.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from runyard.model.errors import FieldProblem
from runyard.model.types import (
    AnyValue,
    Boolean,
    Choice,
    Date,
    DateTime,
    DecimalNumber,
    Email,
    Field,
    FileValue,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Table,
    Text,
    ValueType,
)

EMAIL_PATTERN = (
    r'\A[^\s\x00-\x20\x7f@"(),:;<>\[\]\\]{1,64}'
    r"@(?:[^\W_](?:[^\W_]|-){0,62}\.)+[^\W_](?:[^\W_]|-){0,62}\Z"
)
EMAIL_LENGTH = 254

WHOLE = "(whole value)"
"""Stands for the field where a problem concerns all of them."""
MOST_PROBLEMS = 100
MOST_SHOWN = 60
"""Characters of a value that a problem repeats."""

_HALF_A_CHARACTER = re.compile(r"(?<!\\)\\ud[89a-f][0-9a-f]{2}")

Problems = Iterator[FieldProblem]


def misfits(fields: tuple[Field, ...], raw: bytes) -> tuple[FieldProblem, ...]:
    """What is wrong with this JSON, in the order of the fields; empty when nothing is found."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return (_not_utf8(raw, error),)
    try:
        value = json.loads(
            text,
            parse_float=_number,
            parse_int=_whole_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        return (_malformed(text, error.pos, error.msg),)
    except _Constant as error:
        return (_malformed(text, _position_of(text, error.word), f"JSON has no {error.word}"),)
    except RecursionError:
        return (_problem(WHOLE, "values nested too deeply", "a flatter value"),)
    if half := _HALF_A_CHARACTER.search(repr(value)):
        return (_problem(WHOLE, f"{half.group()}, half of an escaped character", "both halves"),)
    return _at_most(_of_fields("", fields, value))


def _at_most(problems: Problems) -> tuple[FieldProblem, ...]:
    found: list[FieldProblem] = []
    for problem in problems:
        if len(found) == MOST_PROBLEMS:
            more = sum(1 for _ in problems) + 1
            found.append(_problem(WHOLE, f"{more} further problems", "none"))
            break
        found.append(problem)
    return tuple(found)


def _problem(field: str, seen: str, allowed: str) -> FieldProblem:
    return FieldProblem(field=field, seen=seen, allowed=allowed)


# ---------------------------------------------------------------- text that is not JSON


class _Constant(Exception):
    """NaN or an infinity, which Python's parser would let through."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def _refuse_constant(word: str) -> NoReturn:
    raise _Constant(word)


def _number(digits: str) -> float | Decimal:
    """A float, unless it is too large for one: that is for the field's type to judge."""
    number = float(digits)
    return number if abs(number) != float("inf") else Decimal(digits)


def _whole_number(digits: str) -> int | Decimal:
    """An int, unless it has more digits than Python turns into one."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


def _position_of(text: str, word: str) -> int:
    """Where this bare word stands outside of the strings of a JSON text."""
    strings_or_word = re.compile(r'"(?:[^"\\]|\\.)*"|' + re.escape(word), re.DOTALL)
    for match in strings_or_word.finditer(text):
        if match.group() == word:
            return match.start()
    return 0


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> FieldProblem:
    before = raw[: error.start].decode("utf-8")
    seen = f"byte 0x{raw[error.start]:02X} at {_place(before)}, which is not UTF-8"
    return _problem(WHOLE, seen, "JSON in UTF-8")


def _malformed(text: str, position: int, why: str) -> FieldProblem:
    where = _place(text[:position])
    why = why.removesuffix(" starting at")
    if not text.strip():
        seen = "nothing"
    elif position >= len(text):
        seen = f"malformed JSON: it ends at {where} ({why})"
    elif _is_invisible(text[position]):
        seen = f"malformed JSON: the invisible character {_name(text[position])} at {where}"
    else:
        seen = f"malformed JSON: {_shown(text[position])} at {where} ({why})"
    return _problem(WHOLE, seen, "a JSON object")


def _place(before: str) -> str:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"line {line}, column {column}"


def _is_invisible(character: str) -> bool:
    return not character.isprintable() or (character.isspace() and character != " ")


_CONTROLS = {"\n": "line break", "\r": "carriage return", "\t": "tab", "\0": "null character"}


def _name(character: str) -> str:
    import unicodedata

    code = f"U+{ord(character):04X}"
    name = _CONTROLS.get(character) or unicodedata.name(character, "")
    return f"{code} ({name})" if name else code


def _shown(character: str) -> str:
    if character.isascii():
        return f"`{character}`"
    return f"`{character}`, {_name(character)},"


# ---------------------------------------------------------------- values that do not fit


def _of_fields(path: str, fields: tuple[Field, ...], value: object) -> Problems:
    if not isinstance(value, dict):
        yield _problem(path or WHOLE, seen(value), "an object" if path else "a JSON object")
        return
    for field in fields:
        here = f"{path}.{field.name}" if path else field.name
        if field.name in value:
            yield from _of_value(here, field.type, value[field.name])
        elif field.required:
            yield _problem(here, "nothing", allowed(field.type))
    yield from _unknown_names(path, fields, value)


def _unknown_names(path: str, fields: tuple[Field, ...], value: Mapping[str, object]) -> Problems:
    from difflib import get_close_matches

    known = [field.name for field in fields]
    for name in value:
        if name in known:
            continue
        near = get_close_matches(name, [k for k in known if k not in value], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        names = f"one of the names {', '.join(known)}" if known else "no names at all"
        here = f"{path}.{name}" if path else name
        yield _problem(_cut(here), "an unknown name", names + hint)


def _of_value(path: str, kind: ValueType, value: object) -> Problems:
    match kind:
        case Nullable(item):
            yield from _of_nullable(path, item, value)
        case Record(fields):
            yield from _of_fields(path, fields, value)
        case Table() | ListOf():
            yield from _of_items(path, kind, value)
        case MapOf(item):
            if not isinstance(value, dict):
                yield _problem(path, seen(value), allowed(kind))
                return
            for name, part in value.items():
                yield from _of_value(f"{path}[{json.dumps(_cut(name))}]", item, part)
        case _:
            if not _FITS[type(kind)](kind, value):
                yield _problem(path, seen(value), allowed(kind))


def _of_nullable(path: str, item: ValueType, value: object) -> Problems:
    if value is None:
        return
    for problem in _of_value(path, item, value):
        concerns_all = problem.field == path
        yield (
            _problem(path, problem.seen, f"{problem.allowed}, or null") if concerns_all else problem
        )


def _of_items(path: str, kind: Table | ListOf, value: object) -> Problems:
    if not isinstance(value, list):
        yield _problem(path, seen(value), allowed(kind))
        return
    item = item_of(kind)
    for index, part in enumerate(value):
        yield from _of_value(f"{path}[{index}]", item, part)


def item_of(kind: Table | ListOf) -> ValueType:
    """The type of each item of a list, or row of a table."""
    if isinstance(kind, ListOf):
        return kind.item
    return Record(kind.columns) if kind.columns else MapOf(AnyValue())


def _is_integer(_: ValueType, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: ValueType, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_decimal(_: ValueType, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return False
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _is_date(_: ValueType, value: object) -> bool:
    return isinstance(value, str) and len(value) == len("2026-01-31") and _parses(date, value)


def _is_datetime(_: ValueType, value: object) -> bool:
    if (
        not isinstance(value, str)
        or len(value) <= len("2026-01-31")
        or not _parses(datetime, value)
    ):
        return False
    return datetime.fromisoformat(value).tzinfo is not None


def _parses(kind: type[date] | type[datetime], value: str) -> bool:
    try:
        kind.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_email(_: ValueType, value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= EMAIL_LENGTH
        and re.search(EMAIL_PATTERN, value) is not None
    )


def _is_file(kind: ValueType, value: object) -> bool:
    if not isinstance(value, dict):
        return _is_integer(kind, value)
    named = (value[name] for name in ("url", "name", "content_type", "digest") if name in value)
    return (
        ("file" in value) != ("url" in value)
        and _is_integer(kind, value.get("file", 0))
        and _is_integer(kind, value.get("size", 0))
        and all(isinstance(part, str) for part in named)
    )


def _is_choice(kind: ValueType, value: object) -> bool:
    return (
        isinstance(kind, Choice)
        and isinstance(value, str | int)
        and not isinstance(value, bool)
        and value in kind.values
    )


def _is_anything(_: ValueType, value: object) -> bool:
    return not isinstance(value, Decimal)


_FITS: Mapping[type[ValueType], Callable[[ValueType, object], bool]] = {
    Text: lambda _, value: isinstance(value, str),
    Integer: _is_integer,
    Number: _is_number,
    DecimalNumber: _is_decimal,
    Boolean: lambda _, value: isinstance(value, bool),
    Date: _is_date,
    DateTime: _is_datetime,
    Email: _is_email,
    FileValue: _is_file,
    Choice: _is_choice,
    AnyValue: _is_anything,
}


# ---------------------------------------------------------------- the words


def seen(value: object) -> str:
    """What a value is, in words: its kind and, where it is short, itself."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return f"the number {_cut(str(value))}"
        case str():
            return f"the text {json.dumps(_cut(value), ensure_ascii=False)}"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object"


_ALLOWED: Mapping[type[ValueType], str] = {
    Text: "text",
    Integer: "a whole number",
    Number: "a number",
    DecimalNumber: 'an exact number, as text such as "12.50" or as a number',
    Boolean: "true or false",
    Date: "a date such as 2026-01-31",
    DateTime: "a date and time with its offset, such as 2026-01-31T08:00:00Z",
    Email: "an email address",
    FileValue: 'a file: {"file": id}, the id alone, or {"url": "https://..."}',
    AnyValue: "any value, numbers up to 1.8e308",
    MapOf: "an object",
    Record: "an object",
    Table: "a list of rows",
}


def allowed(kind: ValueType) -> str:
    """What a type lets through, in words."""
    match kind:
        case Nullable(item):
            return f"{allowed(item)}, or null"
        case ListOf(item):
            return f"a list, each item {allowed(item)}"
        case Choice(values):
            return f"one of {', '.join(json.dumps(v, ensure_ascii=False) for v in values)}"
        case _:
            return _ALLOWED[type(kind)]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
