"""From what is typed on a command line to a task's input."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from runyard.cli.exits import Misused
from runyard.model import types

if TYPE_CHECKING:
    from runyard.sdk.client import Client
    from runyard.sdk.client.shapes import Task

WORDS_FOR_TRUE = frozenset({"true", "yes", "on", "1"})
WORDS_FOR_FALSE = frozenset({"false", "no", "off", "0"})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The values that a task is given."""

    single: Annotated[
        list[str] | None,
        Parameter(
            name=("--set", "-i"),
            help="NAME=VALUE, an input of the task; may be repeated. Lists and records as JSON; "
            "@PATH uploads a file, an http address lets the server fetch it.",
        ),
    ] = None
    all: Annotated[
        str | None,
        Parameter(
            name="--input",
            allow_leading_hyphen=True,
            help="A file with all inputs as a JSON object; - reads standard input.",
        ),
    ] = None

    def chosen(self, client: "Client", task: str) -> Mapping[str, Any]:
        """The task's input: what the file says, then what single values say."""
        values = {} if self.all is None else _from_source(self.all)
        if not self.single:
            return values
        declared = client.task(task)
        return values | {
            name: converted(client, _declared(declared, name), text)
            for name, text in _pairs(self.single)
        }


NO_INPUT = Inputs()


def converted(client: "Client", field: types.Field, text: str) -> Any:  # noqa: ANN401 - any JSON
    """The value that a text stands for, by the type that the input was declared with.

    A text for a file names one to upload (`@PATH`), one that was uploaded before (its id), or where
    the server fetches it from (an address).
    """
    match field.type:
        case types.Nullable(item=item):
            if text in ("", "null") and not isinstance(item, types.Text):
                return None
            return converted(client, msgspec.structs.replace(field, type=item), text)
        case types.FileValue():
            return _file(client, field.name, text)
        case _:
            return _plain(field, text)


def moment(text: str) -> datetime:
    """The instant that a text means; without an offset, in the machine's time zone."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise Misused(f"{text!r} is no instant; write 2026-01-31T08:00:00+01:00.") from error


def span(text: str) -> timedelta:
    """The duration that a text means, such as 30s, 5m, 1h30m, 7d."""
    from runyard.sdk.durations import duration

    try:
        return duration(text)
    except ValueError as error:
        raise Misused(f"{error}.") from error


def _plain(field: types.Field, text: str) -> Any:  # noqa: ANN401 - any JSON
    """A value that needs nothing but its text."""
    match field.type:
        case types.Integer():
            return _number(int, field.name, text, "a whole number")
        case types.Number():
            return _number(float, field.name, text, "a number")
        case types.Boolean():
            return _boolean(field.name, text)
        case types.Choice(values=values):
            return next((value for value in values if str(value) == text), text)
        case types.AnyValue():
            return _json_or_text(text)
        case types.ListOf() | types.MapOf() | types.Record() | types.Table():
            return _json(field.name, text)
        case _:
            return text


def _from_source(source: str) -> dict[str, Any]:
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except OSError as error:
        raise Misused(f"{source} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misused(f"{source} does not hold a JSON object: {error}.") from error


def _pairs(given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Misused(f"{text!r} is not NAME=VALUE.")
        yield name, value


def _declared(task: "Task", name: str) -> types.Field:
    for value in task.inputs:
        if value.name == name:
            return types.Field(name=name, parameter=name, type=value.type)
    names = [value.name for value in task.inputs]
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join(names) or "none"
    raise Misused(f"{task.name!r} has no input {name!r}.{hint} Its inputs: {known}.")


def _file(client: "Client", name: str, text: str) -> dict[str, int | str]:
    if text.isascii() and text.isdigit():
        return {"file": int(text)}
    if text.startswith(("http://", "https://")):
        return {"url": text}
    path = Path(text.removeprefix("@"))
    if not text.startswith("@") or not path.is_file():
        raise Misused(
            f"{name}: write @PATH of an existing file, the id of an uploaded one, or an https address."
        )
    return {"file": client.upload(path).id}


def _number(kind: type[int] | type[float], name: str, text: str, allowed: str) -> int | float:
    try:
        return kind(text)
    except ValueError as error:
        raise Misused(f"{name}: {text!r} is not {allowed}.") from error


def _boolean(name: str, text: str) -> bool:
    word = text.lower()
    if word in WORDS_FOR_TRUE:
        return True
    if word in WORDS_FOR_FALSE:
        return False
    raise Misused(f"{name}: {text!r} is neither true nor false.")


def _json(name: str, text: str) -> Any:  # noqa: ANN401 - any JSON
    raw: bytes = text.encode()
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise Misused(f"{name}: there is no file {path}.")
        raw = path.read_bytes()
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misused(f"{name}: not JSON: {error}.") from error


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
