"""The page for operators names all that a server says about itself and all that it refuses."""

import re
from dataclasses import fields

import pytest

from runyard.server.settings import Settings
from tests.architecture.tree import REPOSITORY, SOURCE

PAGE = (REPOSITORY / "docs" / "operations.md").read_text()

EVENTS = re.findall(r'Final = "([\w.]+)"', (SOURCE / "telemetry.py").read_text())
METRICS = re.findall(r'"(runyard_\w+)"', (SOURCE / "server" / "probes.py").read_text())
LIMITS = [field.name for field in fields(Settings) if field.name.endswith("_limit")]


def test_there_is_something_to_name() -> None:
    assert len(EVENTS) > 15
    assert len(METRICS) > 5
    assert len(LIMITS) > 3


@pytest.mark.parametrize("name", [*EVENTS, *LIMITS])
def test_every_event_and_every_limit_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_on_the_page(name: str) -> None:
    assert re.search(rf"`{name}(?:_total)?[`{{]", PAGE)
