"""Executions that are sent both ways: on the short one of a known head, and on the ordinary one."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from runyard.engine.allocations import AllocationOptions
from tests.dialects.automation_anywhere.conftest import Room, furnished
from tests.support.postgres import PostgresServer
from tests.support.postgres_keeper import shared_memory_folder
from tests.support.server import running_runyard
from tests.support.wires import Answer, Wire, head_of

ANEW = b"\r\n"
"""Before a request: the server reads its head as if it had never come."""

CODE = """
import os
import time
from dataclasses import dataclass
from typing import Annotated

from runyard import Input, Output, log, task


@dataclass
class Mirror:
    a: Annotated[int, Output(name="A")]
    b: Annotated[float, Output(name="B")]
    text: Annotated[str, Output(name="Text")]
    flag: Annotated[bool, Output(name="Flag")]
    seen: Annotated[str, Output(name="Seen")]


@task("Mirror", path="Bots/Mirror")
def mirror(
    a: int = 5,
    b: float = 0.5,
    text: str = "",
    flag: bool = False,
    mail: str = "",
    size: Annotated[float, Input(name="größe")] = 1.0,
    odd: Annotated[str, Input(name="x:y")] = "",
) -> Mirror:
    return Mirror(a, b, text, flag, repr((a, b, text, flag, mail, size, odd)))


@task("Deed", path="Bots/Deed")
def deed(what: str = "", number: int = 0) -> str:
    if what == "raise":
        raise ValueError(f"no such thing: {number}")
    if what == "exit":
        os._exit(3)
    if what == "sleep":
        time.sleep(60)
    if what == "print":
        print("said", number)
        log.error("logged")
    if what == "long":
        return "x" * 3_000_000
    if what == "none":
        return None
    if what == "wrong":
        return 5
    return f"{what} {number}"


@task("Sleep", path="Bots/Sleep")
def sleep(seconds: float = 0.0, number: int = 0) -> str:
    begun = time.time()
    time.sleep(seconds)
    return f"{number} {begun} {time.time()}"


@task("Paper", path="Bots/Paper")
def paper(a: int = 0, scan: "File | None" = None) -> int:
    return a
""".replace("from runyard import Input", "from runyard import File, Input").replace(
    '"File | None"', "File | None"
)


class Both:
    """An allocated task, executed either way."""

    def __init__(self, room: Room, url: str, token: str) -> None:
        self.room = room
        self.url = url
        self.token = token

    def head(self, size: int) -> bytes:
        """The head of an execution with a body of this size."""
        return head_of(self.url, self.token, size)

    @property
    def shortened(self) -> int:
        """Executions that took the short way."""
        return self.room.server.house.shortened["execute"]

    async def know(self, wire: Wire, size: int) -> None:
        """Let the server learn the head for this size, of a task that needs no input."""
        answer = await wire.post(self.head(size), plain(size))
        assert answer.status == 200, answer

    async def short(self, wire: Wire, body: bytes) -> tuple[Answer, bool]:
        """The answer to a body whose head has just come, and whether it took the short way."""
        if len(body) not in {0, 1}:
            await self.know(wire, len(body))
        before = self.shortened
        answer = await wire.post(self.head(len(body)), body)
        return answer, self.shortened > before

    async def ordinary(self, wire: Wire, body: bytes) -> Answer:
        """The answer to the same request on the ordinary way."""
        before = self.shortened
        answer = await wire.post(self.head(len(body)), body, before=ANEW)
        assert self.shortened == before
        return answer


def plain(size: int) -> bytes:
    """A body of this size without input."""
    shortest = b'{"botInput":{}}'
    return (shortest if size >= len(shortest) else b"{}").ljust(size)


async def both_of(room: Room, task: str, **options: object) -> Both:
    """A task that is kept warm."""
    await room.allocate(task)
    await allocated(room, task, **options)
    url, token = await room.access(task)
    return Both(room, url, token)


async def allocated(room: Room, task: str, **options: object) -> None:
    """Keep a task warm in this way, once it is."""
    wanted = AllocationOptions(**options)  # type: ignore[arg-type]
    allocations = room.server.engine.allocations
    await allocations.put(room.company, task, wanted)
    async with asyncio.timeout(60):
        while (await allocations.show(room.company, task)).children != wanted.limit:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # noqa: TID251 - nothing tells


@contextlib.asynccontextmanager
async def a_room(
    postgres: PostgresServer | None, code: str = CODE, **given: object
) -> AsyncIterator[Room]:
    """A server of its own on either database, and the tasks above."""
    dsn = None if postgres is None else postgres.create_database()
    with tempfile.TemporaryDirectory(dir=shared_memory_folder()) as folder:
        async with (
            running_runyard(Path(folder), dsn, slots=2, **given) as server,  # type: ignore[arg-type]
            furnished(server, code) as room,
        ):
            yield room
    if postgres is not None and dsn is not None:
        postgres.drop_database(dsn)
