"""Callbacks: what a run's end is told to, in which words, and what became of it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Raw

from runyard.dialects.native import wire
from runyard.dialects.native.naming import shown_run
from runyard.dialects.native.paging import decode_cursor, encode_cursor
from runyard.engine.callbacks import Body, CallbackSecrets
from runyard.engine.engine import Engine
from runyard.model.callbacks import Callback
from runyard.model.companies import Company
from runyard.model.ids import CallbackId, encode_public_id
from runyard.model.runs import Run
from runyard.model.states import RunState
from runyard.model.tokens import Permission
from runyard.protocol.shapes import callbacks as callback_shapes
from runyard.stores.contract.runs import RunValues
from runyard.web.requests import Request, refused
from runyard.web.responses import ENCODER
from runyard.web.routing import Route

LARGEST_OUTPUTS = 1024 * 1024
"""Bytes of outputs in a callback; many receivers take no larger body."""


def callback_body(engine: Engine) -> Body:
    """What callbacks in the native form say."""

    async def body(company: Company, run: Run, values: RunValues) -> bytes:
        shown = await shown_run(engine, run)
        is_large = values.output is not None and len(values.output) > LARGEST_OUTPUTS
        outputs = wire.NULL if values.output is None else Raw(values.output)
        ended = callback_shapes.RunEnded(
            type=_TYPES[run.state],
            timestamp=run.finished_at or run.created_at,
            data=wire.with_ends(
                shown, UNSET if is_large else outputs, wire.error_shape(values.error)
            ),
            outputs_left_out=is_large,
        )
        return ENCODER.encode(ended)

    return body


_TYPES: Mapping[RunState, Literal["run.completed", "run.failed", "run.cancelled"]] = {
    RunState.COMPLETED: "run.completed",
    RunState.FAILED: "run.failed",
    RunState.CANCELLED: "run.cancelled",
}


async def list_callbacks(request: Request) -> callback_shapes.CallbackPage:
    """List the callbacks of a company, or of one of its runs, newest first."""
    query = request.query(callback_shapes.CallbackQuery)
    if query.run is not None:
        return await _of_run(request, query)
    page = await request.engine.callbacks.page(
        request.company, query.state, _before(query.cursor), query.limit
    )
    return callback_shapes.CallbackPage(
        items=tuple(_shape(callback) for callback in page.callbacks),
        next=None if page.next is None else encode_cursor(str(page.next).encode()),
        total=page.total,
        total_is_exact=page.total_is_exact,
    )


async def _of_run(
    request: Request, query: callback_shapes.CallbackQuery
) -> callback_shapes.CallbackPage:
    assert query.run is not None
    run = await request.engine.runs.load(request.company, query.run)
    found = await request.engine.callbacks.of_run(request.company, run)
    items = tuple(_shape(c) for c in reversed(found) if query.state in (None, c.state))
    return callback_shapes.CallbackPage(
        items=items, next=None, total=len(items), total_is_exact=True
    )


def _before(cursor: str | None) -> CallbackId | None:
    if cursor is None:
        return None
    text = decode_cursor(cursor)
    if not text.isdigit() or len(text) > 18:
        raise refused("cursor", cursor[:80], "`next` of an earlier page of this list")
    return CallbackId(int(text))


async def show_callback(request: Request) -> callback_shapes.Callback:
    """Show a callback."""
    return _shape(await request.engine.callbacks.load(request.company, request.params["callback"]))


async def resend_callback(request: Request) -> callback_shapes.Callback:
    """Send a callback again, now, whether it was delivered or given up."""
    callback = await request.engine.callbacks.resend(request.company, request.params["callback"])
    return _shape(callback)


async def resend_dead_callbacks(request: Request) -> callback_shapes.Resent:
    """Send all callbacks of a company again that were given up."""
    return callback_shapes.Resent(
        resent=await request.engine.callbacks.resend_dead(request.company)
    )


async def show_callback_secret(request: Request) -> callback_shapes.CallbackSecret:
    """Show the secret that signs a company's callbacks."""
    return _secret_shape(await request.engine.callbacks.secrets(request.company))


async def rotate_callback_secret(request: Request) -> callback_shapes.CallbackSecret:
    """Sign with a new secret from now on, and for a day with the one before as well."""
    return _secret_shape(await request.engine.callbacks.rotate(request.company))


def _shape(callback: Callback) -> callback_shapes.Callback:
    return callback_shapes.Callback(
        id=callback.id,
        public_id=encode_public_id(callback.public_id),
        run_id=callback.run_id,
        url=callback.shown_url,
        state=callback.state,
        tries=callback.tries,
        due_at=callback.due_at,
        answered=callback.answered,
        detail=callback.detail,
        created_at=callback.created_at,
        ended_at=callback.ended_at,
    )


def _secret_shape(secrets: CallbackSecrets) -> callback_shapes.CallbackSecret:
    return callback_shapes.CallbackSecret(
        secret=secrets.current,
        previous=secrets.previous,
        previous_until=secrets.record.previous_until if secrets.previous else None,
    )


_CALLBACKS = "/companies/{company}/callbacks"
_SECRET = "/companies/{company}/callback-secret"

ROUTES = (
    Route(
        method="GET",
        path=_CALLBACKS,
        permission=Permission.READ,
        endpoint=list_callbacks,
        tag="callbacks",
        query=callback_shapes.CallbackQuery,
        answer=callback_shapes.CallbackPage,
    ),
    Route(
        method="POST",
        path=f"{_CALLBACKS}/resend-dead",
        permission=Permission.OPERATE,
        endpoint=resend_dead_callbacks,
        tag="callbacks",
        answer=callback_shapes.Resent,
    ),
    Route(
        method="GET",
        path=f"{_CALLBACKS}/{{callback}}",
        permission=Permission.READ,
        endpoint=show_callback,
        tag="callbacks",
        answer=callback_shapes.Callback,
    ),
    Route(
        method="POST",
        path=f"{_CALLBACKS}/{{callback}}/resend",
        permission=Permission.OPERATE,
        endpoint=resend_callback,
        tag="callbacks",
        answer=callback_shapes.Callback,
    ),
    Route(
        method="GET",
        path=_SECRET,
        permission=Permission.ADMINISTER,
        endpoint=show_callback_secret,
        tag="callbacks",
        answer=callback_shapes.CallbackSecret,
    ),
    Route(
        method="POST",
        path=f"{_SECRET}/rotate",
        permission=Permission.ADMINISTER,
        endpoint=rotate_callback_secret,
        tag="callbacks",
        answer=callback_shapes.CallbackSecret,
    ),
)
