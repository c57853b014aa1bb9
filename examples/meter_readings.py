"""Goes through the meter readings of a house: with progress, log lines, a step and retries."""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from runyard import Input, Retry, context, log, step, task

READINGS = Path(__file__).parent / "data" / "readings.csv"
REPORT_EVERY = 10


@dataclass
class Reading:
    """What a meter showed on a day, in kilowatt hours."""

    day: date
    meter: str
    shown: float


@dataclass
class Usage:
    """What the readings add up to."""

    readings: int
    suspicious: int
    kilowatt_hours: dict[str, float]
    attempts: int


@task(
    "Meter readings",
    path="House/Meter readings",
    timeout="2m",
    retry=Retry(retries=3, delay="1s", factor=2, cap="10s"),
)
def meter_readings(
    most_per_day: Annotated[float, Input(title="Plausible kilowatt hours a day")] = 40.0,
    failures: Annotated[
        int, Input(title="Failures", help="Attempts that fail on purpose, to see retries at work")
    ] = 1,
) -> Usage:
    """Adds up meter readings and points out those that cannot be right."""
    readings = step(read)
    if context.attempt <= failures:
        raise ConnectionError(f"the meters did not answer (attempt {context.attempt})")
    suspicious = 0
    last: dict[str, Reading] = {}
    used: dict[str, float] = {}
    for done, reading in enumerate(readings, start=1):
        before = last.get(reading.meter, reading)
        difference = reading.shown - before.shown
        days = max((reading.day - before.day).days, 1)
        if not 0 <= difference <= days * most_per_day:
            suspicious += 1
            log.warning(
                f"{reading.meter} went from {before.shown} to {reading.shown}", day=str(reading.day)
            )
        else:
            used[reading.meter] = used.get(reading.meter, 0.0) + difference
        last[reading.meter] = reading
        if done % REPORT_EVERY == 0 or done == len(readings):
            log.progress(done, len(readings))
    for meter, amount in sorted(used.items()):
        log.info(f"{meter} used {amount:.1f} kWh")
    rounded = {meter: round(amount, 1) for meter, amount in sorted(used.items())}
    return Usage(len(readings), suspicious, rounded, context.attempt)


def read() -> list[Reading]:
    """All readings, in the order of the file. As a step, later attempts do not read them again."""
    log.info(f"reading {READINGS.name}")
    with READINGS.open(encoding="utf-8", newline="") as file:
        return [
            Reading(date.fromisoformat(row["day"]), row["meter"], float(row["shown"]))
            for row in csv.DictReader(file)
        ]
