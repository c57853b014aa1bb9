"""Systems: programs of others that call in by a UUID, and which of them may."""

from msgspec import UNSET

from runyard.dialects.native.paging import part_of
from runyard.engine.systems import SystemChange
from runyard.model.systems import System
from runyard.model.tokens import Permission
from runyard.protocol.shapes import systems as system_shapes
from runyard.web.permissions import demand_to_open
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route


async def list_systems(request: Request) -> system_shapes.SystemPage:
    """List a company's systems, newest first."""
    query = request.query(system_shapes.SystemQuery)
    found = await request.engine.systems.list(request.company, query.state, query.search)
    part, following = part_of(found, query, lambda system: system.id)
    return system_shapes.SystemPage(
        items=tuple([await _shape(request, system) for system in part]),
        next=following,
        total=len(found),
        total_is_exact=True,
    )


async def create_system(request: Request) -> system_shapes.CreatedSystem:
    """Create a system. Its UUID is in this answer and nowhere else.

    It waits to be allowed unless `allowed` is true.
    """
    wanted = await request.json(system_shapes.NewSystem)
    demand_to_open(request.token, wanted.files_from)
    created = await request.engine.systems.create(
        request.company,
        wanted.name,
        description=wanted.description,
        files_from=wanted.files_from,
        allowed=wanted.allowed,
        by=request.actor,
    )
    return await _created(request, created.system, created.uuid)


async def show_system(request: Request) -> system_shapes.System:
    """Show a system."""
    return await _shape(request, await _named(request))


async def change_system(request: Request) -> system_shapes.System:
    """Change a system's name, description or hosts; what is left out stays."""
    change = await request.json(system_shapes.SystemChange)
    system = await _named(request)
    hosts = None if change.files_from is UNSET else change.files_from
    demand_to_open(request.token, hosts or (), before=system.files_from)
    wanted = SystemChange(
        name=None if change.name is UNSET else change.name,
        description=None if change.description is UNSET else change.description,
        files_from=hosts,
    )
    changed = await request.engine.systems.change(system, wanted, request.actor)
    return await _shape(request, changed)


async def allow_system(request: Request) -> system_shapes.System:
    """Let a system call, from now on."""
    system = await request.engine.systems.allow(await _named(request), request.actor)
    return await _shape(request, system)


async def lock_system(request: Request) -> system_shapes.System:
    """Keep a system out, from now on. What it started goes on."""
    system = await request.engine.systems.keep_out(await _named(request), request.actor)
    return await _shape(request, system)


async def renew_system(request: Request) -> system_shapes.CreatedSystem:
    """Give a system a new UUID, in this answer alone. The one before is refused from now on."""
    renewed = await request.engine.systems.renew(await _named(request), request.actor)
    return await _created(request, renewed.system, renewed.uuid)


async def remove_system(request: Request) -> Response:
    """Remove a system: its UUID is refused from now on. What it started goes on."""
    await request.engine.systems.remove(await _named(request), request.actor)
    return Response(status=204)


async def _named(request: Request) -> System:
    return await request.engine.systems.load(request.company.id, request.params["system"])


async def _fields(request: Request, system: System) -> dict[str, object]:
    fields = {field: getattr(system, field) for field in system_shapes.System.__struct_fields__}
    return {**fields, "updated_by": await request.engine.actors.name(system.updated_by)}


async def _shape(request: Request, system: System) -> system_shapes.System:
    return system_shapes.System(**await _fields(request, system))  # type: ignore[arg-type]


async def _created(request: Request, system: System, uuid: str) -> system_shapes.CreatedSystem:
    fields = await _fields(request, system)
    return system_shapes.CreatedSystem(**fields, uuid=uuid)  # type: ignore[arg-type]


_SYSTEMS = "/companies/{company}/systems"
_SYSTEM = f"{_SYSTEMS}/{{system}}"

ROUTES = (
    Route(
        method="GET",
        path=_SYSTEMS,
        permission=Permission.READ,
        endpoint=list_systems,
        tag="systems",
        query=system_shapes.SystemQuery,
        answer=system_shapes.SystemPage,
    ),
    Route(
        method="POST",
        path=_SYSTEMS,
        permission=Permission.ADMINISTER,
        endpoint=create_system,
        tag="systems",
        body=system_shapes.NewSystem,
        answer=system_shapes.CreatedSystem,
        status=201,
    ),
    Route(
        method="GET",
        path=_SYSTEM,
        permission=Permission.READ,
        endpoint=show_system,
        tag="systems",
        answer=system_shapes.System,
    ),
    Route(
        method="PATCH",
        path=_SYSTEM,
        permission=Permission.ADMINISTER,
        endpoint=change_system,
        tag="systems",
        body=system_shapes.SystemChange,
        answer=system_shapes.System,
    ),
    *(
        Route(
            method="POST",
            path=f"{_SYSTEM}/{action}",
            permission=Permission.ADMINISTER,
            endpoint=endpoint,
            tag="systems",
            answer=system_shapes.System,
        )
        for action, endpoint in (("allow", allow_system), ("lock", lock_system))
    ),
    Route(
        method="POST",
        path=f"{_SYSTEM}/renew",
        permission=Permission.ADMINISTER,
        endpoint=renew_system,
        tag="systems",
        answer=system_shapes.CreatedSystem,
    ),
    Route(
        method="DELETE",
        path=_SYSTEM,
        permission=Permission.ADMINISTER,
        endpoint=remove_system,
        tag="systems",
        status=204,
    ),
)
