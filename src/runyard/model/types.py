"""The value type language: what may go into a run and come out of it.

A task's inputs and outputs are `Field`s, and the type of a field is one of the structs below. They
are plain data: they are stored with a version, travel in frames, and are all that a server needs to
judge a value. It never loads the task's code for that. `runyard.model.shapes` judges values by
them; the SDK finds them from a function's annotations.

Each type has one JSON form, the one in which values are stored and shown. The forms accepted on
the way in are named beside it where they are wider.

    type           JSON form
    Text           string
    Integer        number without a fraction
    Number         number
    DecimalNumber  string such as "12.50"; a number is accepted
    Boolean        true or false
    Date           "2026-01-31"
    DateTime       "2026-01-31T08:00:00+01:00" or "...Z"; without an offset it is refused
    Email          string holding one address
    FileValue      {"file": 17, "name", "content_type", "size", "digest"}; 17 or {"file": 17} is
                   accepted, the server fills in the rest; so is {"url": "https://...", "name",
                   "content_type"} in an input, which the server fetches before the run is queued
    ListOf         array
    MapOf          object with any names
    Table          array of objects that all have the table's columns (any, if it names none)
    Record         object
    Choice         one of the listed strings and numbers
    Nullable       null, or what its item says
    AnyValue       anything
"""

import msgspec


class Kind(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """The root of all value types; its JSON says which one it is in `type`."""


class Text(Kind, frozen=True, tag="text"):
    """Characters, as many as there are."""


class Integer(Kind, frozen=True, tag="integer"):
    """A whole number, of any size."""


class Number(Kind, frozen=True, tag="number"):
    """A number with a fraction, in floating point; never infinite, never not-a-number."""


class DecimalNumber(Kind, frozen=True, tag="decimal"):
    """A number whose digits are kept exactly, such as money."""


class Boolean(Kind, frozen=True, tag="boolean"):
    """True or false."""


class Date(Kind, frozen=True, tag="date"):
    """A day."""


class DateTime(Kind, frozen=True, tag="datetime"):
    """An instant: a day and a time with their offset from UTC."""


class Email(Kind, frozen=True, tag="email"):
    """One email address."""


class FileValue(Kind, frozen=True, tag="file"):
    """A stored file, referred to by its id."""


class AnyValue(Kind, frozen=True, tag="any"):
    """Whatever JSON can say."""


class Choice(Kind, frozen=True, tag="choice"):
    """One of these values, and no other."""

    values: tuple[str | int, ...]


class ListOf(Kind, frozen=True, tag="list"):
    """Any number of values of one type, in order."""

    item: "ValueType"


class MapOf(Kind, frozen=True, tag="map"):
    """Any number of values of one type, each under a name of the caller's choice."""

    value: "ValueType"


class Nullable(Kind, frozen=True, tag="nullable"):
    """A value that may be absent."""

    item: "ValueType"


class Record(Kind, frozen=True, tag="record"):
    """Several named values."""

    fields: tuple["Field", ...]


class Table(Kind, frozen=True, tag="table"):
    """Any number of rows, each with the same named values."""

    columns: tuple["Field", ...]
    """Empty: the rows may have any columns."""


ValueType = (
    Text
    | Integer
    | Number
    | DecimalNumber
    | Boolean
    | Date
    | DateTime
    | Email
    | FileValue
    | AnyValue
    | Choice
    | ListOf
    | MapOf
    | Nullable
    | Record
    | Table
)


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named value: an input, an output, a column or a part of a record."""

    name: str
    """What callers write: visible characters, no double quote and no backslash among them."""
    parameter: str
    """What the code calls it in Python."""
    type: ValueType
    title: str = ""
    """What people read instead of the name; empty: the name."""
    help: str = ""
    """What people should know about it."""
    required: bool = True
    """Whether it must be given. False: it has a default, or it is null when missing."""
    default: str | None = None
    """What a missing one becomes, as JSON text. None: there is no default."""
