"""Runs: listed, looked at, waited for, steered, started again."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from runyard.dialects.native import wire
from runyard.dialects.native.naming import shown_run
from runyard.dialects.native.paging import cursor_from, position_from
from runyard.dialects.native.starts import start_runs
from runyard.dialects.native.streams import watch_company, watch_run
from runyard.engine.starts import RestartRequest
from runyard.model.ids import RunId, ScheduleId, WorkerId
from runyard.model.logs import LogLevel
from runyard.model.runs import Run
from runyard.model.tokens import Permission
from runyard.protocol.shapes import files as file_shapes
from runyard.protocol.shapes import logs as log_shapes
from runyard.protocol.shapes import runs as run_shapes
from runyard.stores.contract.listing import RunFilter
from runyard.web.authentication import authenticate
from runyard.web.events import EVENT_STREAM
from runyard.web.requests import Request
from runyard.web.responses import ENCODER, Response
from runyard.web.routing import Route

_VALUES_AT_ONCE = 8
_MOST_VALUES = 16 * 1024 * 1024
"""Bytes of values after which a page ends early: a page must fit into memory."""


async def list_runs(request: Request) -> run_shapes.RunPage:
    """List runs, newest first; those that ended last first where `finished_from` or
    `finished_before` is given.

    All given conditions must hold; `state` and `cause` may be repeated, and then any of them fits.
    With `values` a page may end before its limit when the values are large; under several conditions
    when few runs fit among very many. Go by `next`, not by the number of items.
    """
    query = request.query(run_shapes.RunQuery)
    engine, company = request.engine, request.company
    wanted = await _filter(request, query)
    page = await engine.runs.page(company, wanted, position_from(query.cursor), query.limit)
    if query.values:
        items = await _with_values(request, page.runs)
    else:
        items = [await shown_run(engine, run) for run in page.runs]
    following = page.next
    if len(items) < len(page.runs):
        following = wanted.position_of(page.runs[len(items) - 1])
    return run_shapes.RunPage(
        items=tuple(items),
        next=cursor_from(following),
        total=page.total,
        total_is_exact=page.total_is_exact,
    )


async def _with_values(request: Request, runs: Sequence[Run]) -> list[run_shapes.Run]:
    """These runs with their values, or the first of them when all would be too much at once."""
    items: list[run_shapes.Run] = []
    size = 0
    for at in range(0, len(runs), _VALUES_AT_ONCE):
        some = runs[at : at + _VALUES_AT_ONCE]
        values = await request.engine.runs.outputs(request.company, [run.id for run in some])
        items += [await shown_run(request.engine, run, values=values.get(run.id)) for run in some]
        size += sum(len(value.input) + len(value.output or b"") for value in values.values())
        if size > _MOST_VALUES:
            break
    return items


async def _filter(request: Request, query: run_shapes.RunQuery) -> RunFilter:
    task = None
    if query.task is not None:
        task = (await request.engine.tasks.load(request.company, query.task)).id
    return RunFilter(
        task_id=task,
        states=query.state,
        causes=query.cause,
        created_from=query.created_from,
        created_before=query.created_before,
        finished_from=query.finished_from,
        finished_before=query.finished_before,
        worker_id=None if query.worker is None else WorkerId(query.worker),
        schedule_id=None if query.schedule is None else ScheduleId(query.schedule),
        restarted_from=None if query.restarted_from is None else RunId(query.restarted_from),
        trigger=query.trigger,
    )


async def show_run(request: Request) -> run_shapes.Run:
    """Show a run with its input, outputs, error and attempts."""
    return await _detailed(request, await _run(request))


async def wait_for_run(request: Request) -> run_shapes.Run:
    """Wait until a run has ended, or for so long, and show it as it is then."""
    query = request.query(run_shapes.WaitQuery)
    patience = timedelta(seconds=query.timeout)
    run = await request.engine.runs.wait(request.company, request.params["run"], patience)
    # The token may have been revoked meanwhile.
    header = request.headers.get(b"authorization")
    await authenticate(request.engine.tokens, header, request.token.kind)
    return await _detailed(request, run)


async def cancel_run(request: Request) -> run_shapes.Run:
    """End a run, whatever its state. Once that is answered it never starts, or is dead."""
    run = await request.engine.runs.cancel(request.company, request.params["run"])
    return await shown_run(request.engine, run)


async def kill_run(request: Request) -> Response:
    """Kill a running run.

    200: no code of it executes any more. 202: its worker did not answer; its lease is void, and the
    worker kills it by itself when the lease has passed.
    """
    report = await request.engine.runs.kill(request.company, request.params["run"])
    run = await shown_run(request.engine, await _run(request))
    killed = run_shapes.KilledRun(confirmed=not report.unconfirmed, run=run)
    return Response(ENCODER.encode(killed), status=200 if killed.confirmed else 202)


async def park_run(request: Request) -> run_shapes.Run:
    """Hold a run aside that has not begun."""
    run = await request.engine.runs.park(request.company, request.params["run"])
    return await shown_run(request.engine, run)


async def release_run(request: Request) -> run_shapes.Run:
    """Let a parked run into the queue."""
    run = await request.engine.runs.release(request.company, request.params["run"])
    return await shown_run(request.engine, run)


async def restart_run(request: Request) -> run_shapes.Run:
    """Start an ended run again, as a new run with the same input."""
    request.house.refuse_while_stopping()
    how = await request.json_or(run_shapes.Restart())
    run = await request.engine.runs.restart(
        request.company,
        request.params["run"],
        RestartRequest(parked=how.parked, same_version=how.same_version, by=request.actor),
    )
    return await shown_run(request.engine, run)


async def read_logs(request: Request) -> log_shapes.LogPage:
    """Read a run's log lines in order."""
    query = request.query(log_shapes.LogQuery)
    run = await _run(request)
    page = await request.engine.logs.read(
        request.company.id,
        run.id,
        LogLevel[query.level.upper()],
        query.after,
        query.limit,
    )
    last = page.lines[-1].number if page.lines else query.after
    return log_shapes.LogPage(
        lines=tuple(wire.line_shape(line) for line in page.lines),
        next_after=last,
        dropped=page.dropped,
    )


async def tell_run(request: Request) -> run_shapes.RunHistory:
    """Tell what happened to a run, moment by moment."""
    story = await request.engine.history.tell(request.company, await _run(request))
    return msgspec.convert(story, run_shapes.RunHistory, from_attributes=True)


async def explain_run(request: Request) -> run_shapes.Explanation:
    """Say why a run is not running, in the order in which the dispatcher asks."""
    run = await _run(request)
    reasons = await request.engine.explain.why(request.company, run)
    return run_shapes.Explanation(
        run_id=run.id,
        state=run.state,
        reasons=tuple(msgspec.convert(r, run_shapes.Reason, from_attributes=True) for r in reasons),
    )


async def list_run_files(request: Request) -> file_shapes.FilePage:
    """List the files that a run returned, in order."""
    run = await _run(request)
    files = await request.engine.files.of_run(request.company.id, run.id)
    return file_shapes.FilePage(
        items=tuple(wire.file_shape(file) for file in files),
        next=None,
        total=len(files),
        total_is_exact=True,
    )


async def _run(request: Request) -> Run:
    return await request.engine.runs.load(request.company, request.params["run"])


async def _detailed(request: Request, run: Run) -> run_shapes.Run:
    engine, company = request.engine, request.company
    values = await engine.runs.values(company, run.id)
    attempts = await engine.runs.attempts(company, run.id)
    return await shown_run(engine, run, values=values, attempts=attempts)


_RUNS = "/companies/{company}/runs"
_RUN = f"{_RUNS}/{{run}}"
_KEY = {"Idempotency-Key": "The same key with the same body again answers the same runs."}
_LAST = {"Last-Event-ID": "Id of the last event that arrived; the stream goes on after it."}

ROUTES = (
    Route(
        method="POST",
        path=_RUNS,
        permission=Permission.OPERATE,
        hot=start_runs,
        tag="runs",
        bodies=(run_shapes.NewRun, run_shapes.NewRuns),
        headers=_KEY,
        answers=(run_shapes.StartedRun, run_shapes.StartedRuns),
        status=201,
    ),
    Route(
        method="GET",
        path=_RUNS,
        permission=Permission.READ,
        endpoint=list_runs,
        tag="runs",
        query=run_shapes.RunQuery,
        answer=run_shapes.RunPage,
    ),
    Route(
        method="GET",
        path=_RUN,
        permission=Permission.READ,
        endpoint=show_run,
        tag="runs",
        answer=run_shapes.Run,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/wait",
        permission=Permission.READ,
        endpoint=wait_for_run,
        tag="runs",
        query=run_shapes.WaitQuery,
        answer=run_shapes.Run,
    ),
    Route(
        method="POST",
        path=f"{_RUN}/cancel",
        permission=Permission.OPERATE,
        endpoint=cancel_run,
        tag="runs",
        answer=run_shapes.Run,
    ),
    Route(
        method="POST",
        path=f"{_RUN}/kill",
        permission=Permission.OPERATE,
        endpoint=kill_run,
        tag="runs",
        answer=run_shapes.KilledRun,
        statuses=(202,),
    ),
    Route(
        method="POST",
        path=f"{_RUN}/park",
        permission=Permission.OPERATE,
        endpoint=park_run,
        tag="runs",
        answer=run_shapes.Run,
    ),
    Route(
        method="POST",
        path=f"{_RUN}/release",
        permission=Permission.OPERATE,
        endpoint=release_run,
        tag="runs",
        answer=run_shapes.Run,
    ),
    Route(
        method="POST",
        path=f"{_RUN}/restart",
        permission=Permission.OPERATE,
        endpoint=restart_run,
        tag="runs",
        body=run_shapes.Restart,
        is_body_optional=True,
        answer=run_shapes.Run,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/logs",
        permission=Permission.READ,
        endpoint=read_logs,
        tag="runs",
        query=log_shapes.LogQuery,
        answer=log_shapes.LogPage,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/history",
        permission=Permission.READ,
        endpoint=tell_run,
        title="Tell a run's history",
        tag="runs",
        answer=run_shapes.RunHistory,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/explain",
        permission=Permission.READ,
        endpoint=explain_run,
        tag="runs",
        answer=run_shapes.Explanation,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/files",
        permission=Permission.READ,
        endpoint=list_run_files,
        tag="files",
        answer=file_shapes.FilePage,
    ),
    Route(
        method="GET",
        path=f"{_RUN}/events",
        permission=Permission.READ,
        endpoint=watch_run,
        tag="events",
        headers=_LAST,
        answer_media=EVENT_STREAM,
    ),
    Route(
        method="GET",
        path="/companies/{company}/events",
        permission=Permission.READ,
        endpoint=watch_company,
        tag="events",
        headers=_LAST,
        answer_media=EVENT_STREAM,
    ),
)
