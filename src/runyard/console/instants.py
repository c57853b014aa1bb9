"""Instants as people read them, each in the form and the time zone that the user chose."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup

from runyard.model.users import ClockStyle, DateStyle, Display

_DATES = {
    DateStyle.ISO: "%Y-%m-%d",
    DateStyle.DAY_FIRST: "%d.%m.%Y",
    DateStyle.MONTH_FIRST: "%m/%d/%Y",
}
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def instant(at: datetime, display: Display) -> Markup:
    """An instant, with its full form for programs."""
    local = at.astimezone(ZoneInfo(display.time_zone))
    date = local.strftime(_DATES[display.date_style])
    if display.clock_style is ClockStyle.HOURS_12:
        time = local.strftime("%I:%M:%S %p").lstrip("0")
    else:
        time = local.strftime("%H:%M:%S")
    exact = at.isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{} {}</time>').format(
        exact, f"{local:%Z} · {exact}", date, time
    )


def ago(at: datetime, now: datetime) -> str:
    """How long ago, in the one unit that matters."""
    since = now - at
    if since < timedelta(seconds=5):
        return "now"
    if since < _MINUTE:
        return f"{since // timedelta(seconds=1)} s ago"
    if since < _HOUR:
        return f"{since // _MINUTE} min ago"
    if since < _DAY:
        return f"{since // _HOUR} h ago"
    return f"{since // _DAY} d ago"


@cache
def time_zones() -> tuple[str, ...]:
    """The names to choose from."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))
