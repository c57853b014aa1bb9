"""Systems of a company: which programs of others may call, and what is known of them.

Everybody in the company sees them, its administrators decide. A UUID is shown once, on the page that
answers the form which made it.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from runyard.console.companies import address_of
from runyard.console.forms import Form, FormEndpoint, complaints, guarded
from runyard.console.frames import View, led_to, shown
from runyard.console.tabs import tabs
from runyard.engine.systems import SystemChange
from runyard.model.errors import Forbidden, InputRefused, NameTaken, RunyardError, SystemNotFound
from runyard.model.systems import System, SystemState
from runyard.model.tokens import Permission
from runyard.web.permissions import demand_to_open
from runyard.web.problems import status_of
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

_LONGEST_SEARCH = 200


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says."""

    state: str = ""
    search: str = ""


async def show_systems(request: Request) -> Response:
    """Show a company's systems, and the form of a new one."""
    return await _list_page(request, "systems.html", Form({}))


async def refresh_systems(request: Request) -> Response:
    """Show the list of systems alone, for a page that keeps itself fresh or looks for something."""
    return await _list_page(request, "system_list.html", Form({}))


async def create_system(request: Request, form: Form) -> Response:
    """Create a system, and show its UUID, which no other page shows."""
    hosts = _hosts(form)
    try:
        demand_to_open(request.visit.user, hosts)
        created = await request.engine.systems.create(
            request.company,
            form.text("name"),
            description=form.text("description"),
            files_from=hosts,
            allowed=form.has("allowed"),
            by=request.actor,
        )
    except (InputRefused, NameTaken, Forbidden) as error:
        return await _list_page(request, "systems.html", form, error)
    return await _system_page(request, created.system, uuid=created.uuid)


async def show_system(request: Request) -> Response:
    """Show a system, and what can be changed."""
    return await _system_page(request, await _system(request))


async def change_system(request: Request, form: Form) -> Response:
    """Change a system's name, description and hosts."""
    system, hosts = await _system(request), _hosts(form)
    change = SystemChange(
        name=form.text("name"), description=form.text("description"), files_from=hosts
    )
    try:
        demand_to_open(request.visit.user, hosts, before=system.files_from)
        await request.engine.systems.change(system, change, request.actor)
    except (InputRefused, NameTaken, Forbidden) as error:
        return await _system_page(request, system, form=form, error=error)
    return led_to(f"{_address(request, system)}?said=system-saved")


async def allow_system(request: Request, form: Form) -> Response:
    """Let a system call, from now on."""
    system = await request.engine.systems.allow(await _system(request), request.actor)
    return _decided(request, form, system, "system-allowed")


async def lock_system(request: Request, form: Form) -> Response:
    """Keep a system out, from now on; what it started goes on."""
    system = await request.engine.systems.keep_out(await _system(request), request.actor)
    return _decided(request, form, system, "system-locked")


async def renew_system(request: Request, form: Form) -> Response:
    """Give a system a new UUID, and show it.

    The form says which one it was shown with: a page that is loaded again after the answer does not
    make another one.
    """
    system = await _system(request)
    if form.text("present") != system.last_characters:
        return led_to(_address(request, system))
    renewed = await request.engine.systems.renew(system, request.actor)
    return await _system_page(request, renewed.system, uuid=renewed.uuid)


async def remove_system(request: Request, _: Form) -> Response:
    """Remove a system: its UUID is refused from now on."""
    await request.engine.systems.remove(await _system(request), request.actor)
    return led_to(f"{_home(request)}?said=system-removed")


async def _list_page(
    request: Request, template: str, form: Form, error: RunyardError | None = None
) -> Response:
    engine, company = request.engine, request.company
    state, search = _wanted(request)
    found = await engine.systems.list(company, search=search)
    values = {
        "systems": sorted(
            (system for system in found if state in (None, system.state)), key=_place
        ),
        "state": state,
        "search": search,
        "counts": {each: sum(s.state is each for s in found) for each in SystemState},
        "total": len(found),
        "addressed": f"?{urlencode({'state': state or '', 'search': search})}",
        "form": form,
        "complaints": _complaints(error),
        **await tabs(request, company, "systems"),
    }
    return shown(
        request,
        View(
            template=template,
            section="home",
            company=company,
            values=values,
            status=200 if error is None else status_of(type(error)),
        ),
    )


async def _system_page(
    request: Request,
    system: System,
    *,
    form: Form | None = None,
    error: RunyardError | None = None,
    uuid: str = "",
) -> Response:
    values = {
        "system": system,
        "uuid": uuid,
        "updated_by": await request.engine.actors.name(system.updated_by),
        "name": system.name if form is None else form.text("name"),
        "description": system.description if form is None else form.text("description"),
        "files_from": ("\n".join(system.files_from) if form is None else form.text("files_from")),
        "complaints": _complaints(error),
        **await tabs(request, request.company, "systems"),
    }
    return shown(
        request,
        View(
            template="system.html",
            section="home",
            company=request.company,
            values=values,
            status=200 if error is None else status_of(type(error)),
        ),
    )


def _place(system: System) -> tuple[bool, bool]:
    """Whoever waits for a decision comes first, whoever is kept out last; else the newest."""
    return system.state is not SystemState.REQUEST, system.state is SystemState.LOCKED


def _wanted(request: Request) -> tuple[SystemState | None, str]:
    """Which systems the address asks for; what it says that makes no sense asks for nothing."""
    asked = request.query(_Asked)
    state = SystemState(asked.state) if asked.state in list(SystemState) else None
    return state, asked.search[:_LONGEST_SEARCH]


def _hosts(form: Form) -> Sequence[str]:
    """One in a line."""
    return [line.strip() for line in form.text("files_from").splitlines() if line.strip()]


def _complaints(error: RunyardError | None) -> dict[str, str]:
    """What is wrong at which field; of several hosts, each that does not fit is named."""
    if error is None:
        return {}
    if isinstance(error, NameTaken | Forbidden):
        field = "name" if isinstance(error, NameTaken) else "files_from"
        return {field: complaints(error)[""]}
    found = complaints(error)
    if isinstance(error, InputRefused):
        wrong = [p for p in error.problems if p.field.startswith("files_from")]
        if wrong:
            seen = ", ".join(problem.seen for problem in wrong)
            found["files_from"] = f"{seen}. Allowed: {wrong[0].allowed}."
    return found


def _decided(request: Request, form: Form, system: System, said: str) -> Response:
    """Back to where it was decided: the list, or the system's own page."""
    back = _address(request, system) if form.has("here") else _home(request)
    return led_to(f"{back}?said={said}")


async def _system(request: Request) -> System:
    """The system of this id in the company; raises SystemNotFound."""
    ref = request.params["system"]
    if not ref.isdigit():
        raise SystemNotFound(f"there is no system {ref}")
    return await request.engine.systems.load(request.company.id, ref)


def _home(request: Request) -> str:
    return f"{address_of(request.company)}/systems"


def _address(request: Request, system: System) -> str:
    return f"{_home(request)}/{system.id}"


def _change(path: str, endpoint: FormEndpoint) -> Route:
    return Route(
        method="POST",
        path=f"/companies/{{company}}/systems{path}",
        permission=Permission.ADMINISTER,
        endpoint=guarded(endpoint),
        tag="systems",
    )


ROUTES = (
    Route(
        method="GET",
        path="/companies/{company}/systems",
        permission=Permission.READ,
        endpoint=show_systems,
        tag="systems",
    ),
    Route(
        method="GET",
        path="/companies/{company}/systems/list",
        permission=Permission.READ,
        endpoint=refresh_systems,
        tag="systems",
    ),
    Route(
        method="GET",
        path="/companies/{company}/systems/{system}",
        permission=Permission.READ,
        endpoint=show_system,
        tag="systems",
    ),
    _change("", create_system),
    _change("/{system}", change_system),
    _change("/{system}/allow", allow_system),
    _change("/{system}/lock", lock_system),
    _change("/{system}/renew", renew_system),
    _change("/{system}/remove", remove_system),
)
