"""Templates become pages.

Every value that stands in a template is escaped, and a name that a template does not get is an
error instead of nothing.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from runyard.console.assets import installed
from runyard.console.browsers import browser_name
from runyard.console.instants import ago, instant

_TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: object) -> str:
    """The page that a template makes of these values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = installed().address
    environment.filters["instant"] = instant
    environment.filters["ago"] = ago
    environment.filters["browser_name"] = browser_name
    return environment
