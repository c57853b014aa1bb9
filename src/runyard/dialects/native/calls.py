"""Allocations, and real-time calls: the second hot route of the native API."""

from collections.abc import Mapping

import msgspec

from runyard.dialects.native import wire
from runyard.dialects.native.call_answers import answer_for, input_of
from runyard.dialects.native.paging import part_of
from runyard.dialects.native.short_calls import ShortNativeCall
from runyard.engine.allocations import AllocationOptions, AllocationView
from runyard.engine.calls import Spilled
from runyard.engine.engine import Engine
from runyard.model.errors import KeptElsewhere
from runyard.model.tokens import Permission, TokenKind
from runyard.protocol.shapes import calls as call_shapes
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import runs as run_shapes
from runyard.protocol.shapes import tasks as task_shapes
from runyard.web.admission import load_company
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.authentication import bearer_secret, token_of
from runyard.web.house import House
from runyard.web.permissions import demand
from runyard.web.requests import Request, demand_json, read_body
from runyard.web.responses import ENCODER, Response, send_bytes
from runyard.web.routing import Route
from runyard.web.shortcuts import REMEMBER
from runyard.web.validation import struct_from_json


async def list_allocations(request: Request) -> call_shapes.AllocationPage:
    """List the tasks that are kept warm for calls, oldest allocation first."""
    query = request.query(parts.PageQuery)
    views = await request.engine.allocations.list(request.company)
    part, following = part_of(views, query, lambda view: view.allocation.id)
    items = [await _shape(request.engine, view) for view in part]
    return call_shapes.AllocationPage(
        items=tuple(items), next=following, total=len(views), total_is_exact=True
    )


async def allocate(request: Request) -> call_shapes.Allocation:
    """Keep a task warm for calls, or change how.

    Children load the task's current version and wait for calls; a new version is loaded beside the
    old one and takes over once it is ready, so that no call fails because of a deploy.
    """
    wanted = await request.json_or(call_shapes.AllocationChange())
    options = AllocationOptions(**msgspec.structs.asdict(wanted))
    view = await request.engine.allocations.put(request.company, request.params["task"], options)
    return await _shape(request.engine, view)


async def show_allocation(request: Request) -> call_shapes.Allocation:
    """Show how a task is kept warm, and how long its calls take."""
    view = await request.engine.allocations.show(request.company, request.params["task"])
    return await _shape(request.engine, view)


async def release_allocation(request: Request) -> Response:
    """Keep a task warm no longer. Calls that execute are finished."""
    await request.engine.allocations.delete(request.company, request.params["task"])
    return Response(status=204)


async def _shape(engine: Engine, view: AllocationView) -> call_shapes.Allocation:
    allocation = view.allocation
    version = None
    if view.version_id is not None:
        version = (await engine.directory.version(view.version_id)).number
    return call_shapes.Allocation(
        id=allocation.id,
        task=task_shapes.TaskName(id=view.task.id, name=view.task.name),
        limit=allocation.limit,
        overflow=allocation.overflow,
        wait=allocation.wait,
        deadline=allocation.deadline,
        recording=allocation.recording,
        retention=allocation.retention,
        created_at=allocation.created_at,
        server=view.server,
        version=version,
        children=view.children,
        in_flight=view.in_flight,
        waiting=view.waiting,
        memory=view.memory,
        calls=view.calls,
        p50=view.p50,
        p99=view.p99,
        latencies=tuple(
            call_shapes.Latency(up_to=bucket.up_to, count=bucket.count) for bucket in view.latencies
        ),
        error=wire.error_shape(view.error),
    )


async def call_task(
    house: House, params: Mapping[str, str], scope: Scope, receive: Receive, send: Send
) -> None:
    """Execute a task now, in a warm child, and answer with its outputs.

    The task must be allocated. 200 says that it was executed, and `state` how that ended; 202 that
    no child was free and the call became a run, to be followed. Unless it is `durable`, the call's
    record follows its answer within moments. Nothing is tried again.
    """
    engine = house.engine
    headers: dict[bytes, bytes] = dict(scope["headers"])
    secret = bearer_secret(headers.get(b"authorization"))
    token = await token_of(engine.tokens, secret, TokenKind.NATIVE)
    company = await load_company(engine, params["company"], token)
    demand(Permission.OPERATE, token, company)
    house.refuse_while_stopping()
    demand_json(headers)
    body = await read_body(headers, receive, house.limits.starts)
    asked = struct_from_json(body, call_shapes.NewCall)
    ref = params["task"]
    try:
        ended = await engine.calls.call(company, ref, input_of(asked), durable=asked.durable)
    except KeptElsewhere as elsewhere:
        await house.forwarding.pass_on(elsewhere, scope, headers, body, send)
        return
    if isinstance(ended, Spilled):
        await send_bytes(send, 202, ENCODER.encode(ended.run))
        return
    version = await engine.directory.version(ended.version_id)
    answer = answer_for(ended, version.number)
    if REMEMBER in scope and (opening := await engine.calls.opening(company, ref)) is not None:
        scope[REMEMBER](ShortNativeCall(house, secret, token, opening))
    await send_bytes(send, 200, answer, extra=[(b"x-execution-id", b"%d" % ended.id)])


ROUTES = (
    Route(
        method="GET",
        path="/companies/{company}/allocations",
        permission=Permission.READ,
        endpoint=list_allocations,
        tag="calls",
        query=parts.PageQuery,
        answer=call_shapes.AllocationPage,
    ),
    Route(
        method="PUT",
        path="/companies/{company}/tasks/{task}/allocation",
        permission=Permission.DEPLOY,
        endpoint=allocate,
        tag="calls",
        body=call_shapes.AllocationChange,
        is_body_optional=True,
        answer=call_shapes.Allocation,
    ),
    Route(
        method="GET",
        path="/companies/{company}/tasks/{task}/allocation",
        permission=Permission.READ,
        endpoint=show_allocation,
        tag="calls",
        answer=call_shapes.Allocation,
    ),
    Route(
        method="DELETE",
        path="/companies/{company}/tasks/{task}/allocation",
        permission=Permission.DEPLOY,
        endpoint=release_allocation,
        tag="calls",
        status=204,
    ),
    Route(
        method="POST",
        path="/companies/{company}/tasks/{task}/call",
        permission=Permission.OPERATE,
        hot=call_task,
        tag="calls",
        body=call_shapes.NewCall,
        answers=(call_shapes.CallAnswer, run_shapes.StartedRun),
        statuses=(202,),
    ),
)
