"""Writes docs/api.md: how to speak to the native API, and every route it has."""

import inspect
from pathlib import Path

from runyard.dialects.native.routes import PREFIX, ROUTES
from runyard.web.problems import STATUS, code_of

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

INTRODUCTION = """\
# The native API

This page is made by `make docs` from the routes themselves. A test fails when the page is older than the routes. Every
shape, with descriptions and examples, stands in the OpenAPI 3.1 document that a running server answers at
`/runyard/v1/openapi.json`, and is shown to people, with a form that sends requests, at `/console/reference/native`
([API reference pages](api-reference.md)).

## How to speak to it

- Everything is below `/runyard/v1`. Bodies are JSON with names in snake_case, sent as `application/json`. A body with
  a field that is not known, or with a name twice in an object, is refused.
- `Authorization: Bearer <token>` on every request. The first start of a server leaves an administrator's token in
  `admin.token` in its data folder; `runyard token create native --company SLUG` makes others. A token of a company
  sees that company alone: everything else is unknown to it.
- Roles, each including the ones before it: `viewer` reads, `operator` starts, stops and steers, `developer` deploys,
  `administrator` makes tokens and changes the company. Tokens of no company may do in all companies what their role
  allows; what concerns the installation is for them alone.
- Instants are RFC 3339 with an offset (`2026-03-01T08:00:00Z`), durations ISO 8601 (`PT30S`, `P30D`).
- Tasks go by id, uuid, public id or name, runs by id or public id, schedules by id or name; percent-encode names
  (`Zip%20code`, and `%2F` for a slash).

## Lists

`{"items": [...], "next": "...", "total": 12, "total_is_exact": true}`. `limit` is 1 to 500; pass `next` as `cursor`
to get the following page. Under a filter totals are counted exactly up to 10,000.

## Starting once

A start with the header `Idempotency-Key` can be sent again after a lost answer: the same key with the same body
answers the same runs and `Idempotent-Replayed: true`, the same key with another body is a conflict.

## Errors

`application/problem+json` with `type`, `title`, `status`, `detail` and `code`, a word for programs. `problems` names
each field at fault, what was seen and what is allowed; refused code has `file` and `line`. Errors with `Retry-After`
pass by themselves.

| status | code of the general case |
|---|---|
"""

EVENTS = """
## Events

`GET .../events` answers server-sent events: `state` (a run), `lines` (of its log), `progress`, and `resync` when a
reader was too slow or what it wants to go on from is gone: then read what matters again, and connect again. A run's
stream begins with its stored lines and its state, and ends after its final state; its event ids are line numbers.
Send the last id as `Last-Event-ID` to go on from there. A comment comes every 15 seconds when nothing else does.

On PostgreSQL with several servers a company's stream tells what happens through the server that it is read from; a
run's stream tells everything, at most a second late.

## Beside the API

`/healthz` answers as long as the server turns, `/readyz` when requests should be sent to it; both need no token.
`/metrics` has the server's numbers in the text format of Prometheus, for tokens of no company.

## Routes

| | address | permission | |
|---|---|---|---|
"""


def page() -> str:
    """The whole document."""
    return INTRODUCTION + _problems() + EVENTS + _routes()


def _problems() -> str:
    rows = sorted((status, code_of(kind)) for kind, status in STATUS.items())
    return "".join(f"| {status} | `{code}` |\n" for status, code in rows)


def _routes() -> str:
    rows = []
    for route in ROUTES:
        summary = inspect.cleandoc(route.story.__doc__ or "").splitlines()[0]
        rows.append(
            f"| {route.method} | `{PREFIX}{route.path}` | {route.permission} | {summary} |\n"
        )
    return "".join(rows)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
