"""The audit log: who has changed what, or logged in."""

import re
from typing import Any

import msgspec

from runyard.dialects.automation_anywhere import rows, shapes
from runyard.dialects.automation_anywhere.activity import stamp
from runyard.dialects.automation_anywhere.filters import (
    Column,
    Selection,
    answered,
    in_order,
    judge,
    narrowed,
    window,
)
from runyard.model.audit import AuditEntry
from runyard.model.tokens import Permission
from runyard.stores.contract.audit import AuditPosition
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Audit"
LONGEST = 400
"""Rows of a page, however many are asked for."""
MOST_SCANNED = 10_000
"""Newest entries that a filter or an order looks at."""
_PART = 1_000
_BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENVIRONMENT = "Runyard"

COLUMNS = {
    "id": Column("number"),
    "createdOn": Column("instant"),
    **{
        name: Column("text")
        for name in (
            "activityType",
            "eventDescription",
            "userName",
            "status",
            "hostName",
            "source",
            "objectName",
            "detail",
            "createdBy",
            "environmentName",
        )
    },
}


async def list_audit(request: Request) -> Response:
    """List who has changed what, or logged in, newest first: at most 400 a page. A filter or an order
    sees the newest 10,000.
    """
    wanted = await request.json_or(shapes.ListRequest())
    audit, company = request.engine.audit, request.company
    offset, length = window(wanted)
    length = min(length, LONGEST)
    fits = judge(wanted.filter, COLUMNS)
    is_plain = not wanted.filter and not wanted.sort
    total = await audit.count(company)
    found = await _newest(request, offset + length if is_plain else MOST_SCANNED)
    ordered = in_order([row for row in found if fits(row)], wanted, COLUMNS)
    page = shapes.PageShown(
        offset=offset, total=total, total_filter=total if is_plain else len(ordered)
    )
    return answered(Selection(narrowed(ordered[offset : offset + length], wanted, COLUMNS), page))


async def _newest(request: Request, most: int) -> list[dict[str, Any]]:
    found: list[AuditEntry] = []
    before: AuditPosition | None = None
    while len(found) < most:
        limit = min(_PART, most - len(found))
        part = await request.engine.audit.page(request.company, before, limit)
        found += part
        if len(part) < limit:
            break
        before = AuditPosition(part[-1].at, part[-1].id)
    return [msgspec.to_builtins(_row(entry)) for entry in found]


def _row(entry: AuditEntry) -> rows.AuditMessage:
    return rows.AuditMessage(
        id=str(entry.id),
        activity_type=_BEFORE_CAPITAL.sub("_", entry.action).upper(),
        event_description=f"{entry.actor_name} {entry.action} {entry.subject}".strip(),
        environment_name=_ENVIRONMENT,
        host_name=entry.address,
        user_name=entry.actor_name,
        status="Successful" if entry.succeeded else "Unsuccessful",
        source=entry.source,
        object_name=entry.subject,
        detail=entry.detail,
        created_on=stamp(entry.at),
        created_by=str(entry.actor or 0),
    )


ROUTES = (
    Route(
        method="POST",
        path="/v1/audit/messages/list",
        operation="listAudit",
        title="List the audit log",
        permission=Permission.ADMINISTER,
        endpoint=list_audit,
        only_reads=True,
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.AuditList,
    ),
)
