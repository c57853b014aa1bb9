"""The audit log: of a company for its administrators, of the installation for its own."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec

from runyard.console.companies import address_of
from runyard.console.frames import View, shown
from runyard.console.tabs import tabs
from runyard.engine.audit_chain import Verification
from runyard.model.companies import Company
from runyard.model.errors import WrongMasterKey
from runyard.model.ids import AuditEntryId
from runyard.model.tokens import Permission
from runyard.stores.contract.audit import AuditPosition
from runyard.web.addresses import CONSOLE
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

ON_A_PAGE = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POSITION = re.compile(r"([0-9]{1,16})-([0-9]{1,18})")


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says."""

    before: str = ""


async def show_company_audit(request: Request) -> Response:
    """Show who has changed what in a company, deployed, or signed in; newest first."""
    company = request.company
    home = f"{address_of(company)}/audit"
    values = {**await _entries(request, company, home), **await tabs(request, company, "audit")}
    return shown(
        request, View(template="audit.html", section="home", company=company, values=values)
    )


async def show_installation_audit(request: Request) -> Response:
    """Show who has changed what concerns the whole installation; newest first."""
    return await _installation_page(request, None, "")


async def verify_installation_audit(request: Request) -> Response:
    """Look whether the whole log is what was written, and show what was found above its entries."""
    try:
        return await _installation_page(request, await request.engine.audit.verify(), "")
    except WrongMasterKey as why:
        return await _installation_page(request, None, why.detail)


async def _installation_page(
    request: Request, found: Verification | None, problem: str
) -> Response:
    values = {
        **await _entries(request, None, f"{CONSOLE}/audit"),
        "found": found,
        "end": "" if found is None else f"{found.end.place}:{found.end.link.hex()}",
        "problem": problem,
    }
    return shown(request, View(template="installation_audit.html", section="audit", values=values))


async def _entries(request: Request, company: Company | None, home: str) -> dict[str, object]:
    """What `audit_entries.html` shows."""
    audit = request.engine.audit
    before = _position(request.query(_Asked).before)
    found = await audit.page(company, before, ON_A_PAGE + 1)
    part = found[:ON_A_PAGE]
    return {
        "entries": part,
        "home": home,
        "total": await audit.count(company),
        "is_first": before is None,
        "older": _query(part[-1].at, part[-1].id) if len(found) > ON_A_PAGE else "",
    }


def _position(text: str) -> AuditPosition | None:
    """Where a page begins; what makes no sense begins at the newest."""
    match = _POSITION.fullmatch(text)
    if match is None:
        return None
    try:
        at = _EPOCH + int(match[1]) * _MICROSECOND
    except OverflowError:
        return None
    return AuditPosition(at, AuditEntryId(int(match[2])))


def _query(at: datetime, entry: AuditEntryId) -> str:
    return f"?{urlencode({'before': f'{(at - _EPOCH) // _MICROSECOND}-{entry}'})}"


ROUTES = (
    Route(
        method="GET",
        path="/companies/{company}/audit",
        permission=Permission.ADMINISTER,
        endpoint=show_company_audit,
        tag="audit",
    ),
    Route(
        method="GET",
        path="/audit",
        permission=Permission.INSTALL,
        endpoint=show_installation_audit,
        tag="audit",
    ),
    Route(
        method="GET",
        path="/audit/verification",
        permission=Permission.INSTALL,
        endpoint=verify_installation_audit,
        tag="audit",
    ),
)
