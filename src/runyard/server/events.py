"""The server's own events, printed on standard error: for people, or one JSON object a line."""

import sys

import structlog

from runyard.model.masking import masked
from runyard.telemetry import Sink


def printing(log_format: str) -> Sink:
    """A sink that prints events in this format, `text` or `json`."""
    is_json = log_format == "json"
    renderer = (
        structlog.processors.JSONRenderer()
        if is_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
    )

    def tell(event: str, fields: dict[str, object]) -> None:
        log.msg(event, **{name: _shown(value) for name, value in fields.items()})

    return tell


def _shown(value: object) -> object:
    """What a field may be printed as: nobody's secret, which what went wrong may quote."""
    return masked(value) if isinstance(value, str) else value
