"""Finding the tasks of a bundle, in children that are made for it and thrown away.

Two of them: one of the base environment reads the requirements without importing anything, then
one of the environment that these make imports the code. Either may be killed at any time by what
it reads; then the bundle is refused, with the reason.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from runyard.model.logs import LogLevel
from runyard.model.tasks import Declaration
from runyard.protocol.frames import CodeProblem, FromWorker, Inspect, Inspected, InspectionLine
from runyard.worker.child import Child
from runyard.worker.execution import Ending
from runyard.worker.lanes import Supply
from runyard.worker.nursery import Nursery
from runyard.worker.packets import (
    PIECES_LIMIT,
    Examine,
    Examined,
    FromChild,
    Piece,
    Survey,
    Surveyed,
    ToChild,
    decode_declarations,
    decode_from_child,
    encode,
)
from runyard.worker.settings import WorkerSettings
from runyard.worker.shortage import NoProcess
from runyard.worker.supplies import NotSupplied, Supplies
from runyard.worker.watch import excess_of

LOOK_EVERY = 0.1
"""Seconds between two looks at the memory of an inspecting child."""
AT_ONCE = 2
"""Inspections at the same time."""
SHOWN_OUTPUT = 2000
"""Characters of what the code wrote that a refusal shows."""


class Refused(Exception):
    """The bundle has no tasks to report."""

    def __init__(self, problem: CodeProblem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


class Hearing:
    """One question to one child: hears the child until it answers or dies."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Surveyed | Examined] = (
            asyncio.get_running_loop().create_future()
        )
        self.dead: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pieces: list[bytes] = []
        self._pieces_size = 0
        self.output = b""

    def heard(self, child: Child, data: bytes) -> bool:
        """The child said something."""
        try:
            self._note(decode_from_child(data))
        except msgspec.DecodeError:
            return False
        return False

    def _note(self, packet: FromChild) -> None:
        match packet:
            case Piece(piece) if self._pieces_size < PIECES_LIMIT:
                # Empty ones count, too: they take room in the list.
                self._pieces_size += len(piece) + 64
                self.pieces.append(piece)
            case Surveyed() | Examined() if not self.answer.done():
                self.answer.set_result(packet)
            case _:
                return

    def printed(self, child: Child, level: LogLevel, data: bytes) -> None:
        """The code wrote something while it was imported."""
        self.output = (self.output + data)[-SHOWN_OUTPUT:]

    def died(self, child: Child, code: int) -> None:
        """The child is dead."""
        self.dead.set_result(code)


class Inspections:
    """All inspections of a worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        supplies: Supplies,
        nursery: Nursery,
        send: Callable[[FromWorker], None],
    ) -> None:
        self._settings = settings
        self._supplies = supplies
        self._nursery = nursery
        self._send = send
        self._room = asyncio.Semaphore(AT_ONCE)

    async def inspect(self, inspect: Inspect) -> Inspected:
        """The answer to an `Inspect`."""
        async with self._room:
            try:
                declarations = await self._declarations(inspect)
            except Refused as refused:
                return Inspected(inspect.request, (), refused.problem)
            except NotSupplied as failure:
                return Inspected(inspect.request, (), CodeProblem(reason=str(failure)))
        return Inspected(inspect.request, declarations)

    async def _declarations(self, inspect: Inspect) -> tuple[Declaration, ...]:
        def tell(text: str) -> None:
            self._send(InspectionLine(inspect.request, text))

        bundle = await self._supplies.unpacked(inspect.bundle_digest)
        hearing = await self._ask(Supply(bundle, self._supplies.base), Survey())
        surveyed = hearing.answer.result()
        if not isinstance(surveyed, Surveyed):
            raise Refused(CodeProblem(reason="its requirements could not be read"))
        if surveyed.problem is not None:
            raise Refused(surveyed.problem)
        environment = await self._supplies.environment(surveyed.requirements, tell)
        hearing = await self._ask(Supply(bundle, environment), Examine())
        examined = hearing.answer.result()
        if not isinstance(examined, Examined):
            raise Refused(CodeProblem(reason="its tasks could not be read"))
        if examined.problem is not None:
            raise Refused(examined.problem)
        try:
            return decode_declarations(b"".join(hearing.pieces))
        except msgspec.DecodeError as error:
            raise Refused(CodeProblem(reason=f"its declarations are broken: {error}")) from error

    async def _ask(self, supply: Supply, question: ToChild) -> Hearing:
        """Ask a new child; raises Refused when it has no answer. It is dead afterwards."""
        hearing = Hearing()
        try:
            child = self._nursery.start(supply, hearing)
        except NoProcess as shortage:
            raise Refused(CodeProblem(reason=f"{shortage}; try again")) from shortage
        child.send(encode(question))
        try:
            async with asyncio.timeout(self._settings.inspection.total_seconds()):
                await self._hear_out(child, hearing)
        except TimeoutError:
            raise Refused(
                CodeProblem(reason=f"importing it took longer than {self._settings.inspection}")
            ) from None
        finally:
            if not hearing.dead.done():
                self._nursery.kill(child)
                await asyncio.wait([hearing.dead])
        return hearing

    async def _hear_out(self, child: Child, hearing: Hearing) -> None:
        waiting: list[asyncio.Future[Any]] = [hearing.answer, hearing.dead]
        while not hearing.answer.done():
            await asyncio.wait(waiting, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if hearing.answer.done():
                return
            if hearing.dead.done():
                if child.unborn:
                    raise Refused(CodeProblem(reason=f"{child.unborn}; try again"))
                raise Refused(_death(hearing.dead.result(), hearing.output))
            self._look_at(child)

    def _look_at(self, child: Child) -> None:
        if child.pid is None:
            return
        match excess_of(child.pid, self._settings.limits):
            case Ending.MEMORY:
                raise Refused(
                    CodeProblem(reason="importing it took more memory than a run may have")
                )
            case Ending.PROCESSES:
                raise Refused(
                    CodeProblem(reason="importing it started more processes than a run may")
                )
            case _:
                return


def _death(code: int, output: bytes) -> CodeProblem:
    how = f"exit status {code}" if code >= 0 else f"signal {-code}"
    reason = f"importing it ended the process ({how})"
    shown = output.decode("utf-8", "replace").strip()
    return CodeProblem(reason=f"{reason}: {shown}" if shown else reason)
