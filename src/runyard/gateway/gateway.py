"""Where workers are let in."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from runyard.engine.engine import Engine
from runyard.gateway.conversation import Conversation, Transport, Visitor
from runyard.protocol.memory import WorkerEnd, memory_pair
from runyard.telemetry import LINK_FAILED, emit


class Gateway:
    """Owns the conversations with workers and everything they wait for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        """Let workers in from now on."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what is under way."""
        await self._group.__aexit__(kind, error, traceback)

    def accept(self, transport: Transport, visitor: Visitor) -> Conversation:
        """Begin a conversation."""

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            self._group.create_task(_supervised(work, transport))

        conversation = Conversation(self._engine, transport, spawn, visitor)
        conversation.open()
        return conversation

    def join(self) -> WorkerEnd:
        """Begin a conversation with a worker of this very process; its end of it."""
        theirs, ours = memory_pair(asyncio.get_running_loop().call_soon)
        self.accept(ours, Visitor(address="", token=None))
        return theirs


async def _supervised(work: Coroutine[Any, Any, None], transport: Transport) -> None:
    """Do this; what goes wrong unexpectedly ends this one conversation, not the others."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the supervisor of a worker's conversation
        emit(LINK_FAILED, detail=f"{type(error).__name__}: {error}")
        transport.close("the server failed to answer; connect again")
