"""Callbacks of a company: whom it told when runs had ended, and what came of it."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from runyard.console.companies import address_of
from runyard.console.forms import Form, FormEndpoint, guarded
from runyard.console.frames import View, led_to, shown
from runyard.console.tabs import tabs
from runyard.model.callbacks import Callback, CallbackState
from runyard.model.errors import CallbackNotReady, RunNotFound, WrongMasterKey
from runyard.model.ids import CallbackId, encode_public_id
from runyard.model.runs import Run
from runyard.model.tokens import Permission
from runyard.web.problems import status_of
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

ON_A_PAGE = 50
LONGEST_BODY = 64 * 1024
"""Characters of a body that a page shows."""
TONES: Mapping[CallbackState, str] = {
    CallbackState.WAITING: "quiet",
    CallbackState.DUE: "warn",
    CallbackState.SENDING: "warn",
    CallbackState.DELIVERED: "good",
    CallbackState.DEAD: "bad",
}


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says."""

    state: str = ""
    before: str = ""


async def show_callbacks(request: Request) -> Response:
    """Show a company's callbacks, newest first."""
    return await _callbacks(request, "callbacks.html")


async def refresh_callbacks(request: Request) -> Response:
    """Show the list of callbacks alone, for a page that keeps itself fresh."""
    return await _callbacks(request, "callback_list.html")


async def show_callback(request: Request) -> Response:
    """Show a callback: what it says, and what came of sending it."""
    callback = await request.engine.callbacks.load(request.company, request.params["callback"])
    return await _callback_page(request, callback)


async def resend_callback(request: Request, _: Form) -> Response:
    """Send a callback again, now, whether it was delivered or given up."""
    company, ref = request.company, request.params["callback"]
    try:
        callback = await request.engine.callbacks.resend(company, ref)
    except CallbackNotReady as problem:
        callback = await request.engine.callbacks.load(company, ref)
        return await _callback_page(request, callback, problem)
    return led_to(f"{_home(request)}/{callback.id}?said=callback-resent")


async def resend_dead_callbacks(request: Request, _: Form) -> Response:
    """Send all callbacks of a company again that were given up."""
    await request.engine.callbacks.resend_dead(request.company)
    return led_to(f"{_home(request)}?said=callbacks-resent")


async def _callbacks(request: Request, template: str) -> Response:
    engine, company = request.engine, request.company
    state, before = _wanted(request)
    page = await engine.callbacks.page(company, state, before, ON_A_PAGE)
    values = {
        "callbacks": page.callbacks,
        "state": state,
        "states": tuple(CallbackState),
        "tones": TONES,
        "total": page.total,
        "total_is_exact": page.total_is_exact,
        "is_first": before is None,
        "older": "" if page.next is None else _query(state, page.next),
        "addressed": _query(state, before),
        **await tabs(request, company, "callbacks"),
    }
    return shown(request, View(template=template, section="home", company=company, values=values))


async def _callback_page(
    request: Request, callback: Callback, problem: CallbackNotReady | None = None
) -> Response:
    run = await _run(request, callback)
    try:
        body, unknown = await _body(request, callback, run), ""
    except WrongMasterKey as why:
        body, unknown = "", why.detail
    values = {
        "callback": callback,
        "public_id": encode_public_id(callback.public_id),
        "tone": TONES[callback.state],
        "run": run,
        "body": body,
        "unknown": unknown,
        "problem": "" if problem is None else problem.detail,
        **await tabs(request, request.company, "callbacks"),
    }
    return shown(
        request,
        View(
            template="callback.html",
            section="home",
            company=request.company,
            values=values,
            status=200 if problem is None else status_of(type(problem)),
        ),
    )


async def _run(request: Request, callback: Callback) -> Run | None:
    try:
        return await request.engine.runs.load(request.company, str(callback.run_id))
    except RunNotFound:
        return None


async def _body(request: Request, callback: Callback, run: Run | None) -> str:
    """What it says, indented, but for what lets a system in; nothing before its run has ended, or
    once that is gone. Raises WrongMasterKey.
    """
    if run is None or callback.state is CallbackState.WAITING:
        return ""
    body = await request.engine.callbacks.body(request.company, callback)
    if body is None:
        return ""
    body = await request.engine.systems.concealed(run, body)
    if len(body) > LONGEST_BODY:
        return f"{body[:LONGEST_BODY].decode(errors='replace')}\n... ({len(body):,} bytes in all)"
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)


def _wanted(request: Request) -> tuple[CallbackState | None, CallbackId | None]:
    """Which callbacks the address asks for; what it says that makes no sense asks for nothing."""
    asked = request.query(_Asked)
    state = CallbackState(asked.state) if asked.state in list(CallbackState) else None
    before = asked.before
    is_id = before.isascii() and before.isdigit() and len(before) < 19
    return state, CallbackId(int(before)) if is_id else None


def _query(state: CallbackState | None, before: CallbackId | None) -> str:
    asked = {"state": state or "", "before": "" if before is None else str(before)}
    return f"?{urlencode({name: value for name, value in asked.items() if value})}"


def _home(request: Request) -> str:
    return f"{address_of(request.company)}/callbacks"


def _change(path: str, endpoint: FormEndpoint) -> Route:
    return Route(
        method="POST",
        path=f"/companies/{{company}}/callbacks{path}",
        permission=Permission.OPERATE,
        endpoint=guarded(endpoint),
        tag="callbacks",
    )


ROUTES = (
    Route(
        method="GET",
        path="/companies/{company}/callbacks",
        permission=Permission.READ,
        endpoint=show_callbacks,
        tag="callbacks",
    ),
    Route(
        method="GET",
        path="/companies/{company}/callbacks/list",
        permission=Permission.READ,
        endpoint=refresh_callbacks,
        tag="callbacks",
    ),
    Route(
        method="GET",
        path="/companies/{company}/callbacks/{callback}",
        permission=Permission.READ,
        endpoint=show_callback,
        tag="callbacks",
    ),
    _change("/resend-dead", resend_dead_callbacks),
    _change("/{callback}/resend", resend_callback),
)
