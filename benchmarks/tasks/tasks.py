"""The tasks that Runyard is measured with."""

import time

from runyard import task


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
