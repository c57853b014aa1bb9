"""Home with its companies, and the details of one."""

from runyard.console.forms import Form, complaints, guarded
from runyard.console.frames import View, led_to, shown
from runyard.console.instants import time_zones
from runyard.console.tabs import tabs
from runyard.model.companies import Company
from runyard.model.errors import InputRefused, NameTaken, RunyardError
from runyard.model.tokens import Permission
from runyard.web.problems import status_of
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

PRIORITY = "a whole number from 1 to 99"


async def show_home(request: Request) -> Response:
    """Show the user's companies and how much is going on in each."""
    return await _companies(request, "home.html")


async def refresh_companies(request: Request) -> Response:
    """Show the companies of the home page alone, for a page that keeps itself fresh."""
    return await _companies(request, "companies.html")


async def _companies(request: Request, template: str) -> Response:
    engine = request.engine
    companies = await engine.users.companies_of(request.visit.user)
    values = {
        "companies": companies,
        "numbers": await engine.overview.of(companies),
        "waiting_systems": await engine.systems.waiting(),
    }
    return shown(request, View(template=template, section="home", values=values))


# ---------------------------------------------------------------- a new company


async def show_new_company(request: Request) -> Response:
    """Show the form of a new company."""
    return _new_company_page(request, Form({}))


async def create_company(request: Request, form: Form) -> Response:
    """Create a company."""
    try:
        company = await request.engine.companies.create(
            form.text("slug"),
            name=form.text("name") or None,
            time_zone=form.text("time_zone") or "UTC",
        )
    except (InputRefused, NameTaken) as error:
        return _new_company_page(request, form, error)
    return led_to(f"{address_of(company)}?said=created")


def _new_company_page(request: Request, form: Form, error: RunyardError | None = None) -> Response:
    wrong = {} if error is None else complaints(error)
    if isinstance(error, NameTaken):
        wrong = {"slug": wrong[""]}
    values = {
        "slug": form.text("slug"),
        "name": form.text("name"),
        "time_zone": form.text("time_zone") or request.visit.user.display.time_zone,
        "time_zones": time_zones(),
        "complaints": wrong,
    }
    status = 200 if error is None else status_of(type(error))
    return shown(
        request, View(template="new_company.html", section="home", values=values, status=status)
    )


# ---------------------------------------------------------------- one company


async def show_company(request: Request) -> Response:
    """Show the details of a company."""
    return await company_page(request)


async def change_company(request: Request, form: Form) -> Response:
    """Change a company's name, time zone and default priority."""
    company = request.company
    try:
        await request.engine.companies.update(
            company.slug,
            name=form.text("name"),
            time_zone=form.text("time_zone"),
            default_priority=form.number("default_priority", PRIORITY),
        )
    except InputRefused as error:
        return await company_page(request, form=form, error=error)
    return led_to(f"{address_of(company)}?said=saved")


async def switch_orchestrator(request: Request, form: Form) -> Response:
    """Pause or resume a company."""
    company, engine = request.company, request.engine
    if form.text("runnable") == "true":
        await engine.orchestrator.resume(company, by=request.actor)
        return led_to(f"{address_of(company)}?said=resumed")
    await engine.orchestrator.pause(company, by=request.actor)
    return led_to(f"{address_of(company)}?said=paused")


async def allow_control(request: Request, form: Form) -> Response:
    """Allow remote control with a new token, which this page alone shows, or forbid it.

    The form says which token it was shown with: a page that is loaded again after the answer does
    not make another one.
    """
    company, control = request.company, request.engine.remote_control
    view = await control.view(company)
    present = "" if view.token is None else str(view.token.id)
    if form.text("present") != present:
        return led_to(address_of(company))
    if form.text("control") == "token":
        if view.token is not None and not form.has("regenerate"):
            return led_to(f"{address_of(company)}?said=saved")
        created = await control.allow(company)
        return await company_page(request, secret=created.secret)
    await control.forbid(company)
    return led_to(f"{address_of(company)}?said=forbidden")


async def company_page(
    request: Request,
    *,
    form: Form | None = None,
    error: RunyardError | None = None,
    secret: str = "",
) -> Response:
    """The details of a company, with what was typed in and what is wrong with it."""
    company = await request.engine.companies.load(request.company.slug)
    values = {
        "name": company.name if form is None else form.text("name"),
        "time_zone": company.time_zone if form is None else form.text("time_zone"),
        "default_priority": (
            company.default_priority if form is None else form.text("default_priority")
        ),
        "time_zones": time_zones(),
        "control": await request.engine.remote_control.view(company),
        "secret": secret,
        "numbers": (await request.engine.overview.of([company]))[company.id],
        "complaints": {} if error is None else complaints(error),
        **await tabs(request, company, "details"),
    }
    return shown(
        request,
        View(
            template="company.html",
            section="home",
            company=company,
            values=values,
            status=200 if error is None else status_of(type(error)),
        ),
    )


def address_of(company: Company) -> str:
    """Where the details of a company are."""
    return f"/console/companies/{company.slug}"


ROUTES = (
    Route(
        method="GET",
        path="",
        permission=Permission.OWN,
        endpoint=show_home,
        tag="companies",
    ),
    Route(
        method="GET",
        path="/overview",
        permission=Permission.OWN,
        endpoint=refresh_companies,
        tag="companies",
    ),
    Route(
        method="GET",
        path="/new-company",
        permission=Permission.INSTALL,
        endpoint=show_new_company,
        tag="companies",
    ),
    Route(
        method="POST",
        path="/new-company",
        permission=Permission.INSTALL,
        endpoint=guarded(create_company),
        tag="companies",
    ),
    Route(
        method="GET",
        path="/companies/{company}",
        permission=Permission.READ,
        endpoint=show_company,
        tag="companies",
    ),
    Route(
        method="POST",
        path="/companies/{company}",
        permission=Permission.ADMINISTER,
        endpoint=guarded(change_company),
        tag="companies",
    ),
    Route(
        method="POST",
        path="/companies/{company}/orchestrator",
        permission=Permission.OPERATE,
        endpoint=guarded(switch_orchestrator),
        tag="companies",
    ),
    Route(
        method="POST",
        path="/companies/{company}/remote-control",
        permission=Permission.ADMINISTER,
        endpoint=guarded(allow_control),
        tag="companies",
    ),
)
