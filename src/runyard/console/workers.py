"""Workers: who executes runs, and whether they may."""

from runyard.console.frames import View, shown
from runyard.engine.workers import WorkerView
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route


async def show_workers(request: Request) -> Response:
    """Show the workers that serve the user's companies."""
    return await _workers(request, "workers.html")


async def refresh_workers(request: Request) -> Response:
    """Show the list of workers alone, for a page that keeps itself fresh."""
    return await _workers(request, "worker_list.html")


async def _workers(request: Request, template: str) -> Response:
    engine, user = request.engine, request.visit.user
    companies = {company.id: company for company in await engine.users.companies_of(user)}
    sees_all = user.role_in(None) is not None
    views = [
        view
        for view in await engine.workers.list()
        if sees_all or view.worker.company_id in companies or _serves_all(view, bool(companies))
    ]
    values = {"workers": views, "companies": companies}
    return shown(request, View(template=template, section="workers", values=values))


def _serves_all(view: WorkerView, has_company: bool) -> bool:  # noqa: FBT001 - it is the value
    return view.worker.company_id is None and has_company


ROUTES = (
    Route(
        method="GET",
        path="/workers",
        permission=Permission.OWN,
        endpoint=show_workers,
        tag="workers",
    ),
    Route(
        method="GET",
        path="/workers/list",
        permission=Permission.OWN,
        endpoint=refresh_workers,
        tag="workers",
    ),
)
