"""What commands print."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runyard.model.states import RunState

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import LogLine

WIDE = 200
"""Columns where the output is no terminal: tables are not squeezed for a file or a pipe."""

JSON_WIDTH = 96

STATE_STYLES = {
    RunState.COMPLETED: "green",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
    RunState.RUNNING: "cyan",
    RunState.WAITING: "cyan",
}
LEVEL_STYLES = {
    "trace": "dim",
    "debug": "dim",
    "warning": "yellow",
    "error": "red",
    "fatal": "bold red",
}


@cache
def console() -> Console:
    """Where answers go."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


@cache
def remarks() -> Console:
    """Where everything goes that is not the answer."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def print_json(answer: object) -> None:
    """Prints one JSON document, indented."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def readable_json(text: str | bytes) -> str:
    """JSON with a line break only where a line would be too long."""
    return "\n".join(_json_lines(msgspec.json.decode(text)))


def _json_lines(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
    compact = json.dumps(value, ensure_ascii=False)
    if len(compact) <= JSON_WIDTH:
        return [compact]
    match value:
        case dict():
            named = [
                (f"{json.dumps(name, ensure_ascii=False)}: ", part) for name, part in value.items()
            ]
            return ["{", *_parts(named), "}"]
        case list():
            return ["[", *_parts([("", part) for part in value]), "]"]
        case _:
            return [compact]


def _parts(named: list[tuple[str, Any]]) -> list[str]:
    """The lines between two brackets."""
    lines: list[str] = []
    for number, (name, part) in enumerate(named, start=1):
        block = _json_lines(part)
        block[0] = name + block[0]
        block[-1] += "," if number < len(named) else ""
        lines += (f"  {line}" for line in block)
    return lines


def print_plain(text: str) -> None:
    """Prints a line exactly as it is, to be read by programs."""
    sys.stdout.write(text + "\n")


def complain(lines: Sequence[str]) -> None:
    """Says on standard error what is wrong."""
    first, *rest = lines
    remarks().print(Text.assemble(("Error: ", "bold red"), first), soft_wrap=True)
    for line in rest:
        remarks().print(Text(line), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Prints rows under their headings, or a sentence when there are none."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    if table.row_count:
        console().print(table)
    else:
        console().print(empty)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Prints names and values, leaving out what there is not."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None and value != "":
            table.add_row(
                Text(name, "bold"), value if isinstance(value, Text) else Text(shown(value))
            )
    console().print(table)


def print_line(line: "LogLine", to: Console) -> None:
    """Prints one line of a run's log."""
    at = line.at.strftime("%H:%M:%S.%f")[:-3]
    style = LEVEL_STYLES.get(line.level, "")
    text = Text.assemble((f"{at} ", "dim"), (f"{line.level:<7} ", style), (line.text, style))
    to.print(text, soft_wrap=True)


def state_text(state: RunState) -> Text:
    """A state in its colour."""
    return Text(state.value, STATE_STYLES.get(state, ""))


def shown(value: Any) -> str:  # noqa: ANN401 - a cell may hold anything
    """A value as a person reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case timedelta():
            return shown_duration(value)
        case str():
            return value
        case _:
            return readable_json(msgspec.json.encode(value))


def shown_duration(duration: timedelta) -> str:
    """A duration in the two units that matter."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in units if number)[:20].strip()
