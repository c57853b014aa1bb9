"""The task of the fault tests: it leaves a mark outside of Runyard whenever it is executed."""

import socket
import time

from runyard import Retry, task


@task("Mark", timeout="20s", retry=Retry(retries=50, delay="100ms", cap="100ms"))
def mark(mark: str, port: int, seconds: float = 0.0) -> str:
    """Sends its mark to whoever counts them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(mark.encode(), ("127.0.0.1", port))
    time.sleep(seconds)
    return mark


@task("Brief", timeout="1s")
def brief(mark: str, port: int) -> str:
    """Must be done within a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(mark.encode(), ("127.0.0.1", port))
    time.sleep(0.1)
    return mark
