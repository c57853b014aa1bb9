"""Writes docs/settings.md from the settings and the docstrings below them."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from runyard.server.settings import PREFIX, Settings
from runyard.web.schemas import field_descriptions

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

INTRODUCTION = """\
# Settings

This page is made by `make docs` from `src/runyard/server/settings.py`. A test fails when the page is older than the
settings.

A value comes from an option of `runyard serve` where there is one (`--tls-cert` for `tls_cert`), else from the
environment variable, else it is the default. Everything that does not fit is told at once when the server starts.
Durations are a number with a unit: `500ms`, `30s`, `5m`, `2h`, `1d`.

| setting | environment variable | default | what it is |
|---|---|---|---|
"""

_DEPENDS = {"slots": "the number of CPUs", "realtime_pool": "16 for each CPU"}


def page() -> str:
    """The whole document."""
    told = field_descriptions(Settings)
    defaults = Settings()
    rows = [
        f"| `{field.name}` | `{PREFIX}{field.name.upper()}` "
        f"| {_shown(field.name, getattr(defaults, field.name))} | {told[field.name]} |\n"
        for field in fields(Settings)
    ]
    return INTRODUCTION + "".join(rows)


def _shown(name: str, value: object) -> str:
    if name in _DEPENDS:
        return _DEPENDS[name]
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}s`"
    return f"`{value}`"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
