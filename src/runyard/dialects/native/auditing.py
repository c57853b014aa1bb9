"""The audit log: who has changed what only few may change, or signed in."""

import re

import msgspec

from runyard.dialects.native.paging import decode_cursor, encode_cursor
from runyard.model.audit import AuditEntry
from runyard.model.companies import Company
from runyard.model.tokens import Permission
from runyard.protocol.shapes import audit as audit_shapes
from runyard.protocol.shapes.parts import PageQuery
from runyard.stores.contract.audit import AuditPosition, ChainEnd
from runyard.web.requests import Request, refused
from runyard.web.routing import Route

_END = re.compile(r"[0-9]{1,15}:(?:[0-9a-f]{64})?")
_POSITION = msgspec.json.Decoder(AuditPosition)


async def list_audit(request: Request) -> audit_shapes.AuditPage:
    """List who has changed what in a company, deployed, or signed in; newest first.

    Refused tries are in it too. Starts of runs and calls are not: these have a history of their own.
    """
    return await _page(request, request.company)


async def list_installation_audit(request: Request) -> audit_shapes.AuditPage:
    """List who has changed what concerns the whole installation; newest first."""
    return await _page(request, None)


async def verify_audit(request: Request) -> audit_shapes.AuditVerification:
    """Look whether the audit log of the whole installation, companies' entries among it, is what was written.

    Every entry is linked to the one before it with a key that the database does not hold; the answer
    names the first one that does not fit. Reads the whole log.
    """
    noted = _noted(request.query(audit_shapes.AuditQuery).noted)
    found = await request.engine.audit.verify(noted)
    return audit_shapes.AuditVerification(
        ok=found.broken is None,
        entries=found.entries,
        first=found.first,
        end=f"{found.end.place}:{found.end.link.hex()}",
        broken=None
        if found.broken is None
        else audit_shapes.AuditBreak(
            place=found.broken.place, entry=found.broken.entry, detail=found.broken.detail
        ),
    )


def _noted(text: str | None) -> ChainEnd | None:
    if text is None:
        return None
    if _END.fullmatch(text) is None:
        raise refused("noted", text, "`end` of an earlier answer, such as 1204:9f86d081...")
    place, _, link = text.partition(":")
    return ChainEnd(int(place), bytes.fromhex(link))


async def _page(request: Request, company: Company | None) -> audit_shapes.AuditPage:
    query = request.query(PageQuery)
    audit = request.engine.audit
    found = await audit.page(company, _before(query.cursor), query.limit + 1)
    part = found[: query.limit]
    following = None
    if len(found) > query.limit:
        last = AuditPosition(part[-1].at, part[-1].id)
        following = encode_cursor(msgspec.json.encode(last))
    return audit_shapes.AuditPage(
        items=tuple(_shape(entry) for entry in part),
        next=following,
        total=await audit.count(company),
        total_is_exact=True,
    )


def _before(cursor: str | None) -> AuditPosition | None:
    if cursor is None:
        return None
    try:
        position = _POSITION.decode(decode_cursor(cursor))
    except (msgspec.DecodeError, UnicodeDecodeError):
        position = None
    if position is None or position.at.tzinfo is None or not 0 <= position.entry_id < 2**63:
        raise refused("cursor", cursor[:80], "`next` of an earlier page of this list")
    return position


def _shape(entry: AuditEntry) -> audit_shapes.AuditEntry:
    return audit_shapes.AuditEntry(
        id=entry.id,
        at=entry.at,
        actor=entry.actor_name,
        action=entry.action,
        subject=entry.subject,
        succeeded=entry.succeeded,
        detail=entry.detail,
        source=entry.source,
        address=entry.address,
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/companies/{company}/audit",
        permission=Permission.ADMINISTER,
        endpoint=list_audit,
        tag="audit",
        query=PageQuery,
        answer=audit_shapes.AuditPage,
    ),
    Route(
        method="GET",
        path="/audit",
        permission=Permission.INSTALL,
        endpoint=list_installation_audit,
        tag="audit",
        query=PageQuery,
        answer=audit_shapes.AuditPage,
    ),
    Route(
        method="GET",
        path="/audit/verification",
        permission=Permission.INSTALL,
        endpoint=verify_audit,
        tag="audit",
        query=audit_shapes.AuditQuery,
        answer=audit_shapes.AuditVerification,
    ),
)
