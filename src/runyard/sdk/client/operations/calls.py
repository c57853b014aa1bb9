"""Allocations, and real-time calls through them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from runyard.protocol.shapes import calls as call_shapes
from runyard.protocol.shapes import runs as run_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import (
    Plan,
    Request,
    all_pages,
    as_json,
    ask,
    delete,
    get,
    operation,
    put,
    read,
)
from runyard.sdk.client.shapes import CallAnswer, Called

CALL_PATIENCE = timedelta(minutes=2)
SPILLED = 202
AS_USUAL = call_shapes.AllocationChange()


class CallOperations(Addresses):
    """Allocations, and real-time calls through them."""

    @operation
    def allocations(self) -> Plan[tuple[call_shapes.Allocation, ...]]:
        """All tasks of the company that are kept warm for calls."""
        return (yield from all_pages(get(self._path("allocations")), call_shapes.AllocationPage))

    @operation
    def allocation(self, task: Ref) -> Plan[call_shapes.Allocation]:
        """How a task is kept warm, and how long its calls take."""
        request = get(self._path("tasks", task, "allocation"))
        return (yield from ask(request, call_shapes.Allocation))

    @operation
    def allocate(
        self, task: Ref, allocation: call_shapes.AllocationChange = AS_USUAL
    ) -> Plan[call_shapes.Allocation]:
        """Keeps a task warm for calls, or changes how."""
        request = put(self._path("tasks", task, "allocation"), allocation)
        return (yield from ask(request, call_shapes.Allocation))

    @operation
    def release_allocation(self, task: Ref) -> Plan[None]:
        """Keeps a task warm no longer; calls that execute are finished."""
        yield delete(self._path("tasks", task, "allocation"))

    @operation
    def call(
        self,
        task: Ref,
        input: Mapping[str, Any] | msgspec.Raw | None = None,  # noqa: A002 - the word of the API
        *,
        durable: bool = False,
        patience: timedelta = CALL_PATIENCE,
    ) -> Plan[Called]:
        """Executes an allocated task now and returns what became of it. Nothing is tried again.

        `durable`: the call is on disk before this returns. `patience`: how long an answer is waited
        for.
        """
        body = as_json({"input": {} if input is None else input, "durable": durable})
        path = self._path("tasks", task, "call")
        answer = yield Request(method="POST", path=path, body=body, patience=patience)
        if answer.status_code == SPILLED:
            return Called(answer=None, run=read(answer.body, run_shapes.StartedRun))
        return Called(answer=read(answer.body, CallAnswer), run=None)
