"""The zip code task as programs made for Automation Anywhere know it: the same inputs and outputs."""

from dataclasses import dataclass
from typing import Annotated

from zip_code import zip_code

from runyard import Input, Output, task


@dataclass
class Lookup:
    """Where a US zip code lies."""

    state: Annotated[str, Output(name="State")]
    place: Annotated[str, Output(name="Place")]


@task(
    "Zip Code API Task",
    path="Bots/Zip Code API Task",
    timeout="30s",
    requirements=["zipcodes>=2,<4"],
)
def zip_code_api_task(
    zip_code_text: Annotated[
        str, Input(name="iStrZipCode", title="Zip code", help="Five digits, such as 76131")
    ],
) -> Lookup:
    """Where a US zip code lies. Made to be called in real time."""
    found = zip_code(zip_code_text)
    return Lookup(state=found.state, place=found.place)
