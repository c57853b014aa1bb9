"""What concerns the whole installation: workers, its health, and the description of this API."""

import msgspec

from runyard.dialects.native import wire
from runyard.dialects.native.naming import slug_of
from runyard.dialects.native.paging import part_of
from runyard.model.tokens import Permission
from runyard.protocol import shapes
from runyard.web.requests import Request
from runyard.web.routing import Route


async def list_workers(request: Request) -> shapes.WorkerPage:
    """List the workers; a token of a company sees those that serve it."""
    query = request.query(shapes.PageQuery)
    engine, own = request.engine, request.token.company_id
    company = None if own is None else await engine.companies.load_by_id(own)
    workers = await engine.workers.list(company)
    part, following = part_of(workers, query, lambda status: status.worker.id)
    items = [
        wire.worker_shape(
            status.worker,
            await slug_of(engine, status.worker.company_id),
            online=status.online,
            busy=status.busy,
        )
        for status in part
    ]
    return shapes.WorkerPage(
        items=tuple(items), next=following, total=len(workers), total_is_exact=True
    )


async def examine(request: Request) -> shapes.Diagnosis:
    """Examine the installation: whether every promise holds at this moment."""
    diagnosis = await request.engine.doctor.examine()
    checks = tuple(
        msgspec.convert(check, shapes.Check, from_attributes=True) for check in diagnosis.checks
    )
    return shapes.Diagnosis(ok=all(check.ok for check in checks), checks=checks)


ROUTES = (
    Route(
        method="GET",
        path="/workers",
        permission=Permission.READ,
        endpoint=list_workers,
        tag="installation",
        query=shapes.PageQuery,
        answer=shapes.WorkerPage,
    ),
    Route(
        method="GET",
        path="/doctor",
        permission=Permission.MONITOR,
        endpoint=examine,
        title="Examine the installation",
        tag="installation",
        answer=shapes.Diagnosis,
    ),
)
