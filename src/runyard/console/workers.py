"""Workers: who executes runs, and who of them may.

A company's administrators decide about its own workers; those that serve every company are the
installation's. So each decision has two addresses, as in the native API.
"""

from collections.abc import Awaitable, Callable

from runyard.console.forms import Form, FormEndpoint, guarded
from runyard.console.frames import View, led_to, shown
from runyard.engine.workers import WorkerView
from runyard.model.companies import Company
from runyard.model.errors import WorkerNotFound
from runyard.model.ids import CompanyId
from runyard.model.tokens import Permission
from runyard.model.users import User
from runyard.model.workers import Worker, WorkerState
from runyard.web.permissions import may
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

ADDRESS = "/console/workers"


async def show_workers(request: Request) -> Response:
    """Show the workers that serve the user's companies."""
    return await _workers(request, "workers.html")


async def refresh_workers(request: Request) -> Response:
    """Show the list of workers alone, for a page that keeps itself fresh."""
    return await _workers(request, "worker_list.html")


async def allow_worker(request: Request, _: Form) -> Response:
    """Let a worker execute runs, from now on."""
    await request.engine.workers.allow(await _worker(request))
    return led_to(f"{ADDRESS}?said=worker-allowed")


async def lock_worker(request: Request, _: Form) -> Response:
    """Keep a worker out; its runs go to others."""
    await request.engine.workers.keep_out(await _worker(request))
    return led_to(f"{ADDRESS}?said=worker-locked")


async def drain_worker(request: Request, _: Form) -> Response:
    """Give a worker no further runs; what has begun there goes on."""
    await request.engine.workers.drain(await _worker(request))
    return led_to(f"{ADDRESS}?said=worker-draining")


async def remove_worker(request: Request, _: Form) -> Response:
    """Forget a worker; when it comes again it has to be allowed."""
    await request.engine.workers.remove(await _worker(request))
    return led_to(f"{ADDRESS}?said=worker-removed")


async def _workers(request: Request, template: str) -> Response:
    engine, user = request.engine, request.visit.user
    companies = {company.id: company for company in await engine.users.companies_of(user)}
    views = [
        view for view in await engine.workers.list() if _is_visible(view, user, set(companies))
    ]
    views.sort(key=_place)
    sees_all = user.role_in(None) is not None
    opened = {view.worker.id for view in views if sees_all or view.worker.company_id is not None}
    decides = {view.worker.id: _address_of(view.worker, user, companies) for view in views}
    values = {"workers": views, "companies": companies, "decides": decides, "opened": opened}
    return shown(request, View(template=template, section="workers", values=values))


def _place(view: WorkerView) -> tuple[bool, bool, str, int]:
    """Whoever waits for a decision comes first, whoever is kept out last."""
    worker = view.worker
    waits, is_out = worker.state is WorkerState.REQUEST, worker.state is WorkerState.LOCKED
    return not waits, is_out, worker.name, worker.id


def _is_visible(view: WorkerView, user: User, companies: set[CompanyId]) -> bool:
    if view.worker.company_id is None:
        return bool(companies) or user.role_in(None) is not None
    return view.worker.company_id in companies


def _address_of(worker: Worker, user: User, companies: dict[CompanyId, Company]) -> str:
    """Below which address the user decides about a worker; nothing: the user does not."""
    if worker.company_id is None:
        return f"{ADDRESS}/{worker.id}" if may(Permission.INSTALL, user, None) else ""
    company = companies[worker.company_id]
    if not may(Permission.ADMINISTER, user, company):
        return ""
    return f"/console/companies/{company.slug}/workers/{worker.id}"


async def _worker(request: Request) -> Worker:
    """The worker of this very id, of the company that the address names, if it does.

    Never by its name: a worker chooses that itself, and could call itself like another one's id.
    """
    ref = request.params["worker"]
    company = request.company.id if "company" in request.params else None
    for view in await request.engine.workers.list():
        worker = view.worker
        if str(worker.id) == ref and company in {None, worker.company_id}:
            return worker
    raise WorkerNotFound(f"there is no worker {ref}")


def _decision(verb: str, endpoint: FormEndpoint) -> tuple[Route, Route]:
    answer: Callable[[Request], Awaitable[Response]] = guarded(endpoint)
    return (
        Route(
            method="POST",
            path=f"/workers/{{worker}}/{verb}",
            permission=Permission.INSTALL,
            endpoint=answer,
            tag="workers",
        ),
        Route(
            method="POST",
            path=f"/companies/{{company}}/workers/{{worker}}/{verb}",
            permission=Permission.ADMINISTER,
            endpoint=answer,
            tag="workers",
        ),
    )


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
    *_decision("allow", allow_worker),
    *_decision("lock", lock_worker),
    *_decision("drain", drain_worker),
    *_decision("remove", remove_worker),
)
