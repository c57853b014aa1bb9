"""Looks up where a US zip code lies, in the data of the package `zipcodes`."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import zipcodes

from runyard import Input, log, task

STATES = Path(__file__).parent / "data" / "states.csv"


@dataclass
class Place:
    """Where a zip code lies."""

    state: str
    place: str


@task(
    "Zip code",
    path="Bots/Zip code",
    timeout="30s",
    retries=2,
    concurrency=4,
    requirements=["zipcodes>=2,<4"],
)
def zip_code(
    zip: Annotated[str, Input(title="Zip code", help="Five digits, such as 76131")],  # noqa: A002
) -> Place:
    """Where a US zip code lies."""
    try:
        found = zipcodes.matching(zip)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{zip!r} is not a zip code: {error}") from None
    if not found:
        raise LookupError(f"no place in the United States has the zip code {zip}")
    place = found[0]
    log.info("found", city=place["city"], county=place["county"])
    return Place(state=states()[place["state"]], place=place["city"])


@cache
def states() -> dict[str, str]:
    """Names of the states by their two letters."""
    with STATES.open(encoding="utf-8", newline="") as file:
        return {row["letters"]: row["name"] for row in csv.DictReader(file)}
