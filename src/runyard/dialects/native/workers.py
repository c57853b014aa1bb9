"""Workers: who executes runs, and who of them may.

A company's administrators decide about its own workers; those that serve every company are the
installation's.
"""

from collections.abc import Sequence

from runyard.dialects.native import wire
from runyard.dialects.native.naming import slug_of
from runyard.dialects.native.paging import part_of
from runyard.engine.workers import WorkerView
from runyard.model.errors import Forbidden, WorkerNotFound
from runyard.model.tokens import Permission
from runyard.model.workers import Worker
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import workers as worker_shapes
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route


async def list_workers(request: Request) -> worker_shapes.WorkerPage:
    """List the workers; a token of a company sees those that serve it."""
    engine, own = request.engine, request.token.company_id
    company = None if own is None else await engine.companies.load_by_id(own)
    return await _page(request, await engine.workers.list(company))


async def list_company_workers(request: Request) -> worker_shapes.WorkerPage:
    """List the workers that serve a company: its own, and those that serve all."""
    return await _page(request, await request.engine.workers.list(request.company))


async def show_worker(request: Request) -> worker_shapes.Worker:
    """Show a worker."""
    worker = await request.engine.workers.load(None, request.params["worker"])
    return await _shown(request, worker)


async def show_company_worker(request: Request) -> worker_shapes.Worker:
    """Show a worker that serves a company."""
    found = await request.engine.workers.load_serving(request.company.id, request.params["worker"])
    return await _shown(request, found)


async def allow_worker(request: Request) -> worker_shapes.Worker:
    """Let a worker execute runs, from now on. It drains no longer."""
    return await _shown(request, await request.engine.workers.allow(await _any(request)))


async def allow_company_worker(request: Request) -> worker_shapes.Worker:
    """Let a worker of a company execute runs, from now on. It drains no longer."""
    return await _shown(request, await request.engine.workers.allow(await _own(request)))


async def lock_worker(request: Request) -> worker_shapes.Worker:
    """Keep a worker out. If it is connected it is sent away, and its runs go to others."""
    return await _shown(request, await request.engine.workers.keep_out(await _any(request)))


async def lock_company_worker(request: Request) -> worker_shapes.Worker:
    """Keep a worker of a company out. If it is connected it is sent away, its runs go to others."""
    return await _shown(request, await request.engine.workers.keep_out(await _own(request)))


async def drain_worker(request: Request) -> worker_shapes.Worker:
    """Give a worker no further runs. What has begun there goes on, until it is allowed again."""
    return await _shown(request, await request.engine.workers.drain(await _any(request)))


async def drain_company_worker(request: Request) -> worker_shapes.Worker:
    """Give a worker of a company no further runs. What has begun there goes on."""
    return await _shown(request, await request.engine.workers.drain(await _own(request)))


async def remove_worker(request: Request) -> Response:
    """Forget a worker. If it is connected it is sent away; when it comes again it has to be allowed."""
    await request.engine.workers.remove(await _any(request))
    return Response(status=204)


async def remove_company_worker(request: Request) -> Response:
    """Forget a worker of a company. When it comes again it has to be allowed."""
    await request.engine.workers.remove(await _own(request))
    return Response(status=204)


async def _any(request: Request) -> Worker:
    return await request.engine.workers.load(None, request.params["worker"])


async def _own(request: Request) -> Worker:
    """The company's own worker; raises Forbidden for one that serves others too."""
    workers, ref = request.engine.workers, request.params["worker"]
    try:
        return await workers.load(request.company.id, ref)
    except WorkerNotFound:
        shared = await workers.load_serving(request.company.id, ref)
        raise Forbidden(
            f"the worker {shared.name} serves every company: "
            "only the installation's administrators decide about it"
        ) from None


async def _page(request: Request, views: Sequence[WorkerView]) -> worker_shapes.WorkerPage:
    query = request.query(parts.PageQuery)
    part, following = part_of(views, query, lambda view: view.worker.id)
    items = [await _shape(request, view) for view in part]
    return worker_shapes.WorkerPage(
        items=tuple(items), next=following, total=len(views), total_is_exact=True
    )


async def _shown(request: Request, worker: Worker) -> worker_shapes.Worker:
    return await _shape(request, await request.engine.workers.view(worker))


async def _shape(request: Request, view: WorkerView) -> worker_shapes.Worker:
    own = request.token.company_id
    slug = await slug_of(request.engine, view.worker.company_id)
    return wire.worker_shape(view, slug, is_own=own in {None, view.worker.company_id})


ROUTES = (
    Route(
        method="GET",
        path="/workers",
        permission=Permission.READ,
        endpoint=list_workers,
        tag="workers",
        query=parts.PageQuery,
        answer=worker_shapes.WorkerPage,
    ),
    Route(
        method="GET",
        path="/workers/{worker}",
        permission=Permission.MONITOR,
        endpoint=show_worker,
        tag="workers",
        answer=worker_shapes.Worker,
    ),
    *(
        Route(
            method="POST",
            path=f"/workers/{{worker}}/{action}",
            permission=Permission.INSTALL,
            endpoint=endpoint,
            tag="workers",
            answer=worker_shapes.Worker,
        )
        for action, endpoint in (
            ("allow", allow_worker),
            ("lock", lock_worker),
            ("drain", drain_worker),
        )
    ),
    Route(
        method="DELETE",
        path="/workers/{worker}",
        permission=Permission.INSTALL,
        endpoint=remove_worker,
        tag="workers",
        status=204,
    ),
    Route(
        method="GET",
        path="/companies/{company}/workers",
        permission=Permission.READ,
        endpoint=list_company_workers,
        tag="workers",
        query=parts.PageQuery,
        answer=worker_shapes.WorkerPage,
    ),
    Route(
        method="GET",
        path="/companies/{company}/workers/{worker}",
        permission=Permission.READ,
        endpoint=show_company_worker,
        tag="workers",
        answer=worker_shapes.Worker,
    ),
    *(
        Route(
            method="POST",
            path=f"/companies/{{company}}/workers/{{worker}}/{action}",
            permission=Permission.ADMINISTER,
            endpoint=endpoint,
            tag="workers",
            answer=worker_shapes.Worker,
        )
        for action, endpoint in (
            ("allow", allow_company_worker),
            ("lock", lock_company_worker),
            ("drain", drain_company_worker),
        )
    ),
    Route(
        method="DELETE",
        path="/companies/{company}/workers/{worker}",
        permission=Permission.ADMINISTER,
        endpoint=remove_company_worker,
        tag="workers",
        status=204,
    ),
)
