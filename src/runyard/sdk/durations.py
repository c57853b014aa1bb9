"""Durations as people write them: "30s", "5m", "1h30m", "7d"."""

import re
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")


def duration(written: str | timedelta) -> timedelta:
    """What a written duration means; raises ValueError for anything that is not one above zero."""
    found = written if isinstance(written, timedelta) else _parsed(written)
    if found <= timedelta(0):
        raise ValueError(f"{written!r} is not longer than nothing")
    return found


def _parsed(written: object) -> timedelta:
    if not isinstance(written, str) or not re.fullmatch(f"(?:{_PART.pattern})+", written.strip()):
        raise ValueError(
            f'{written!r} is not a duration; write a number and ms, s, m, h, d or w, such as "30s" or "1h30m"'
        )
    try:
        return sum((float(n) * _UNITS[unit] for n, unit in _PART.findall(written)), timedelta(0))
    except OverflowError:
        raise ValueError(f"{written!r} is longer than can be counted") from None
