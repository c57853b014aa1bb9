"""Tasks that the tests of the command line deploy."""

import time
from dataclasses import dataclass
from typing import Annotated

from runyard import File, Input, log, task


@dataclass
class Greeting:
    """What a greeting comes to."""

    text: str
    length: int


@task("Greet", path="Bots/Greet", timeout="30s")
def greet(name: str, times: Annotated[int, Input(title="How often")] = 1) -> Greeting:
    """Greets somebody."""
    for number in range(times):
        log.info(f"greeting {number + 1}")
    return Greeting(f"Hello {name}", len(name))


@task("Fail")
def fail(why: str = "no reason") -> None:
    """Fails."""
    log.error("about to fail")
    raise ValueError(why)


@task("Dawdle")
def dawdle(seconds: float) -> str:
    """Takes its time."""
    log.info("begun")
    time.sleep(seconds)
    return "done"


@task("Copy")
def copy(source: File, tags: list[str] | None = None) -> File:
    """Returns what it is given."""
    return File.write("copy.txt", source.read_text().upper() + ",".join(tags or []))
