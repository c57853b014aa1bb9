"""What is told on a short way when something that nobody reckons with happens there."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from runyard.engine.calls import Caller, Opening
from runyard.model.errors import LimitReached, RunyardError, StorageUnavailable, VersionNotFound
from runyard.model.ids import VersionId
from runyard.stores.contract.calls import CallRecord
from runyard.web.door import native_refusal
from runyard.web.house import House
from runyard.web.responses import Response
from runyard.web.short_calls import ShortCall
from tests.support.server import running_server


class Given(Exception):
    """Something that must not be raised."""


class Told:
    """Notes answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, bytes]] = []
        self.is_told = asyncio.Event()

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        self.answers.append((status, lines, body))
        self.is_told.set()


class Short(ShortCall):
    """Fails as the test says."""

    operation = "call_task"

    def __init__(self, house: House) -> None:
        super().__init__(house, cast("Opening", None))
        self.failure: Exception = Given()
        self.is_ready = True
        self.caller: Caller | None = None

    def still_knows_caller(self) -> bool:
        return True

    def begin(self, body: bytes, caller: Caller) -> bool:
        self.caller = caller
        return True

    def is_ready_for(self, version: VersionId) -> bool:
        return self.is_ready

    async def prepare_for(self, version: VersionId) -> None:
        raise self.failure

    def body_for(self, record: CallRecord) -> bytes:
        raise self.failure

    def refusal(self, error: RunyardError | None, trace: str = "") -> Response:
        return native_refusal(error, trace)


class Record:
    """As much of a call as is looked at here."""

    id = 7
    version_id = VersionId(1)


RECORD = cast("CallRecord", Record())


@pytest.mark.parametrize("where", ["preparing", "writing", "told"])
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Given("a secret"), 500),
        (StorageUnavailable("away"), 503),
        (VersionNotFound("there is no version 1"), 404),
        (LimitReached("too many"), 429),
    ],
)
async def test_a_caller_is_answered_whatever_fails(
    memory_path: Path, failure: Exception, status: int, where: str
) -> None:
    """Whoever waited for a version that could not be looked up waited for ever."""
    async with running_server(memory_path) as server:
        short, told = Short(server.house), Told()
        short.failure = failure
        short.is_ready = where != "preparing"
        assert short.take(b"{}", told)
        assert short.caller is not None

        if where == "told":
            short.caller.refused(failure)
        else:
            short.caller.told(RECORD)
        async with asyncio.timeout(20):
            await told.is_told.wait()

        assert server.house.answered["call_task", status] == 1
        assert server.house.shortened["call_task"] == 1
    [(seen, lines, body)] = told.answers
    assert seen == status
    assert b"application/problem+json" in lines
    assert json.loads(body)["status"] == status
    assert b"secret" not in body
