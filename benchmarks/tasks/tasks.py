"""The tasks that Runyard is measured with."""

import time

from runyard import log, task


@task("noop")
def noop() -> None:
    """Nothing."""


@task("began")
def began() -> int:
    """Tell when its first line was reached, by the machine's monotonic clock."""
    return time.monotonic_ns()


@task("add")
def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@task("tell")
def tell(text: str) -> str:
    """Log ten lines."""
    for number in range(10):
        log.info(f"line {number}: {text}")
    return text
