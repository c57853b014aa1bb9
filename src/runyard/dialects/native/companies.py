"""Companies, tokens, remote control, and the orchestrator."""

from msgspec import UNSET, Struct, UnsetType, structs

from runyard.dialects.native import wire
from runyard.dialects.native.naming import slug_of
from runyard.dialects.native.paging import part_of
from runyard.engine.engine import Engine
from runyard.engine.systems import as_token
from runyard.engine.tokens import NewToken
from runyard.model.companies import Company
from runyard.model.errors import TokenNotFound
from runyard.model.ids import SystemId, TokenId
from runyard.model.states import RunState
from runyard.model.tokens import Permission, Role, Token, TokenKind
from runyard.protocol.shapes import companies as company_shapes
from runyard.protocol.shapes import parts
from runyard.protocol.shapes import tasks as task_shapes
from runyard.protocol.shapes import tokens as token_shapes
from runyard.web.requests import Request, refused
from runyard.web.responses import Response
from runyard.web.routing import Route


def given(change: Struct) -> dict[str, object]:
    """The fields of a change that the caller gave."""
    return {name: value for name, value in structs.asdict(change).items() if value is not UNSET}


# ---------------------------------------------------------------- companies


async def list_companies(request: Request) -> company_shapes.CompanyPage:
    """List the companies that the token sees.

    A token of a company sees only that one.
    """
    query = request.query(parts.PageQuery)
    companies = await request.engine.companies.list()
    own = request.token.company_id
    seen = [company for company in companies if own is None or company.id == own]
    part, following = part_of(seen, query, lambda company: company.id)
    return company_shapes.CompanyPage(
        items=tuple(wire.company_shape(company) for company in part),
        next=following,
        total=len(seen),
        total_is_exact=True,
    )


async def create_company(request: Request) -> company_shapes.Company:
    """Create a company."""
    wanted = await request.json(company_shapes.NewCompany)
    fields = given(wanted)
    slug = str(fields.pop("slug"))
    company = await request.engine.companies.create(slug, **fields)  # type: ignore[arg-type]
    return wire.company_shape(company)


async def show_company(request: Request) -> company_shapes.Company:
    """Show a company."""
    return wire.company_shape(request.company)


async def change_company(request: Request) -> company_shapes.Company:
    """Change a company; what is left out stays."""
    change = await request.json(company_shapes.CompanyChange)
    slug = request.company.slug
    company = await request.engine.companies.update(slug, **given(change))  # type: ignore[arg-type]
    return wire.company_shape(company)


# ---------------------------------------------------------------- tokens


async def list_tokens(request: Request) -> token_shapes.TokenPage:
    """List a company's tokens, newest first."""
    return await _token_page(request, request.company)


async def create_token(request: Request) -> token_shapes.CreatedToken:
    """Create a token for a company. Its secret is in this answer and nowhere else."""
    return await _new_token(request, request.company)


async def revoke_token(request: Request) -> Response:
    """Revoke a token of a company: it is refused from now on."""
    token = _token_id(request.params["token"])
    try:
        await request.engine.tokens.revoke(request.company.id, token)
    except TokenNotFound:
        if not await _removed_system(request, SystemId(token)):
            raise
    return Response(status=204)


async def _removed_system(request: Request, system: SystemId) -> bool:
    """Whether there is such a system in the company; it is removed now."""
    found = await request.engine.systems.find(system)
    if found is None or found.company_id != request.company.id:
        return False
    if found.removed_at is None:
        await request.engine.systems.remove(found, request.actor)
    return True


async def list_installation_tokens(request: Request) -> token_shapes.TokenPage:
    """List the tokens of the installation, newest first."""
    return await _token_page(request, None)


async def create_installation_token(request: Request) -> token_shapes.CreatedToken:
    """Create a token that is valid in every company. Its secret is in this answer alone."""
    return await _new_token(request, None)


async def revoke_installation_token(request: Request) -> Response:
    """Revoke a token of the installation: it is refused from now on."""
    await request.engine.tokens.revoke(None, _token_id(request.params["token"]))
    return Response(status=204)


async def _token_page(request: Request, company: Company | None) -> token_shapes.TokenPage:
    query = request.query(parts.PageQuery)
    tokens = await request.engine.tokens.list(company)
    part, following = part_of(tokens, query, lambda token: token.id)
    slug = None if company is None else company.slug
    return token_shapes.TokenPage(
        items=tuple(wire.token_shape(token, slug) for token in part),
        next=following,
        total=len(tokens),
        total_is_exact=True,
    )


async def _new_token(request: Request, company: Company | None) -> token_shapes.CreatedToken:
    wanted = await request.json_or(token_shapes.NewToken())
    if wanted.lasting is not None and wanted.lasting.total_seconds() <= 0:
        raise refused("lasting", str(wanted.lasting), "a positive duration")
    if wanted.lasting is not None and wanted.lasting.days > token_shapes.LONGEST_DAYS:
        raise refused("lasting", str(wanted.lasting), f"at most P{token_shapes.LONGEST_DAYS}D")
    if wanted.joins and wanted.kind is not TokenKind.WORKER:
        raise refused("joins", "true", f"false, for a token of kind {wanted.kind}")
    if wanted.kind is TokenKind.REMOTE_CONTROL:
        created = await _remote_control_token(request, company, wanted)
    elif wanted.kind is TokenKind.SYSTEM:
        created = await _system_token(request, company, wanted)
    else:
        created = await request.engine.tokens.create(
            wanted.kind,
            company,
            role=Role(wanted.role),
            name=wanted.name,
            lasting=wanted.lasting,
            joins=wanted.joins,
        )
    slug = await slug_of(request.engine, created.token.company_id)
    return wire.created_token_shape(wire.token_shape(created.token, slug), created.secret)


async def _remote_control_token(
    request: Request, company: Company | None, wanted: token_shapes.NewToken
) -> NewToken:
    """The same as allowing control: a company has one such token, and it replaces the one before."""
    if company is None:
        raise refused("kind", wanted.kind, "a company's: POST /companies/{company}/tokens")
    if wanted.lasting is not None:
        raise refused("lasting", "a duration", "null: it is valid until another one is made")
    named = {"name": wanted.name} if wanted.name else {}
    return await request.engine.remote_control.allow(company, role=wanted.role, **named)


async def _system_token(
    request: Request, company: Company | None, wanted: token_shapes.NewToken
) -> NewToken:
    """The same as creating a system that waits to be allowed."""
    if company is None:
        raise refused("kind", wanted.kind, "a company's: POST /companies/{company}/tokens")
    if wanted.lasting is not None:
        raise refused("lasting", "a duration", "null: it is valid until it is renewed or removed")
    if wanted.role is not Role.OPERATOR:
        raise refused(
            "role", wanted.role, "operator: a system starts tasks, and reads what it started"
        )
    created = await request.engine.systems.create(company, wanted.name, by=request.actor)
    return NewToken(token=as_token(created.system), secret=created.uuid)


def _token_id(text: str) -> TokenId:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise TokenNotFound(f"there is no token {text}")
    return TokenId(int(text))


# ---------------------------------------------------------------- remote control


async def show_remote_control(request: Request) -> token_shapes.RemoteControl:
    """Show whether programs may steer the company through the Remote API."""
    view = await request.engine.remote_control.view(request.company)
    return _remote_control(request, view.token)


async def allow_remote_control(request: Request) -> token_shapes.RemoteControl:
    """Allow control with a new token, or forbid it.

    The token before stops opening at once. The new one's secret is in this answer and nowhere else.
    """
    wanted = await request.json(token_shapes.AllowControl)
    if wanted.allow == "none":
        await request.engine.remote_control.forbid(request.company)
        return _remote_control(request, None)
    created = await request.engine.remote_control.allow(request.company, role=wanted.role)
    return _remote_control(request, created.token, created.secret)


def _remote_control(
    request: Request, token: Token | None, secret: str | UnsetType = UNSET
) -> token_shapes.RemoteControl:
    slug = request.company.slug
    return token_shapes.RemoteControl(
        allowed=token is not None,
        token=None if token is None else wire.token_shape(token, slug),
        url=f"{request.house.public_url}/api/remote/{slug}",
        secret=secret,
    )


# ---------------------------------------------------------------- orchestrator


async def show_orchestrator(request: Request) -> company_shapes.Orchestrator:
    """Show whether queued runs may start, and how many runs are where."""
    return await _status(request.engine, request.company)


async def switch_orchestrator(request: Request) -> company_shapes.Orchestrator:
    """Pause or resume a company. Once a pause is answered no run starts; begun ones go on."""
    wanted = await request.json(task_shapes.Runnable)
    if wanted.runnable:
        await request.engine.orchestrator.resume(request.company, by=request.actor)
    else:
        await request.engine.orchestrator.pause(request.company, by=request.actor)
    return await _status(request.engine, request.company)


async def _status(engine: Engine, company: Company) -> company_shapes.Orchestrator:
    view = await engine.orchestrator.view(company)
    counts = view.counts
    return company_shapes.Orchestrator(
        runnable=view.runnable,
        queued=counts.get(RunState.QUEUED, 0),
        running=counts.get(RunState.RUNNING, 0),
        scheduled=counts.get(RunState.SCHEDULED, 0),
        parked=counts.get(RunState.PARKED, 0),
        waiting=counts.get(RunState.WAITING, 0),
        changed_at=view.changed_at,
        changed_by=await engine.actors.name(view.changed_by),
    )


ROUTES = (
    Route(
        method="GET",
        path="/companies",
        permission=Permission.READ,
        endpoint=list_companies,
        tag="companies",
        query=parts.PageQuery,
        answer=company_shapes.CompanyPage,
    ),
    Route(
        method="POST",
        path="/companies",
        permission=Permission.INSTALL,
        endpoint=create_company,
        tag="companies",
        body=company_shapes.NewCompany,
        answer=company_shapes.Company,
        status=201,
    ),
    Route(
        method="GET",
        path="/companies/{company}",
        permission=Permission.READ,
        endpoint=show_company,
        tag="companies",
        answer=company_shapes.Company,
    ),
    Route(
        method="PATCH",
        path="/companies/{company}",
        permission=Permission.ADMINISTER,
        endpoint=change_company,
        tag="companies",
        body=company_shapes.CompanyChange,
        answer=company_shapes.Company,
    ),
    Route(
        method="GET",
        path="/companies/{company}/tokens",
        permission=Permission.ADMINISTER,
        endpoint=list_tokens,
        tag="tokens",
        query=parts.PageQuery,
        answer=token_shapes.TokenPage,
    ),
    Route(
        method="POST",
        path="/companies/{company}/tokens",
        permission=Permission.ADMINISTER,
        endpoint=create_token,
        tag="tokens",
        body=token_shapes.NewToken,
        is_body_optional=True,
        answer=token_shapes.CreatedToken,
        status=201,
    ),
    Route(
        method="DELETE",
        path="/companies/{company}/tokens/{token}",
        permission=Permission.ADMINISTER,
        endpoint=revoke_token,
        tag="tokens",
        status=204,
    ),
    Route(
        method="GET",
        path="/tokens",
        permission=Permission.INSTALL,
        endpoint=list_installation_tokens,
        tag="tokens",
        query=parts.PageQuery,
        answer=token_shapes.TokenPage,
    ),
    Route(
        method="POST",
        path="/tokens",
        permission=Permission.INSTALL,
        endpoint=create_installation_token,
        tag="tokens",
        body=token_shapes.NewToken,
        is_body_optional=True,
        answer=token_shapes.CreatedToken,
        status=201,
    ),
    Route(
        method="DELETE",
        path="/tokens/{token}",
        permission=Permission.INSTALL,
        endpoint=revoke_installation_token,
        tag="tokens",
        status=204,
    ),
    Route(
        method="GET",
        path="/companies/{company}/remote-control",
        permission=Permission.ADMINISTER,
        endpoint=show_remote_control,
        tag="tokens",
        answer=token_shapes.RemoteControl,
    ),
    Route(
        method="PUT",
        path="/companies/{company}/remote-control",
        permission=Permission.ADMINISTER,
        endpoint=allow_remote_control,
        tag="tokens",
        body=token_shapes.AllowControl,
        answer=token_shapes.RemoteControl,
    ),
    Route(
        method="GET",
        path="/companies/{company}/orchestrator",
        permission=Permission.READ,
        endpoint=show_orchestrator,
        tag="orchestrator",
        answer=company_shapes.Orchestrator,
    ),
    Route(
        method="PUT",
        path="/companies/{company}/orchestrator",
        permission=Permission.OPERATE,
        endpoint=switch_orchestrator,
        tag="orchestrator",
        body=task_shapes.Runnable,
        answer=company_shapes.Orchestrator,
    ),
)
