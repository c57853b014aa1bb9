"""`runyard company`: the owners of everything."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from msgspec import UNSET

from runyard.cli.exits import Misused
from runyard.cli.options import ANYWHERE, CONNECTION, Options, connect
from runyard.cli.output import console, print_facts, print_json, print_plain, print_table

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import RemoteControl

app = App(name="company", help="Companies, the owners of everything.")


@app.command(
    name="list",
    help_epilogue="Example:\n  runyard company list",
)
def list_companies(*, options: Options = ANYWHERE) -> None:
    """List the companies that the token sees."""
    with connect(options) as client:
        companies = client.companies()
    if options.json:
        print_json(companies)
        return
    print_table(
        ("Slug", "Name", "Time zone", "Orchestrator", "Created"),
        (
            (c.slug, c.name, c.time_zone, "running" if c.runnable else "paused", c.created_at)
            for c in companies
        ),
        empty="There is no company yet. Make one: runyard company create SLUG",
    )


@app.command(
    help_epilogue='Example:\n  runyard company create acme --name "Acme Ltd" '
    "--time-zone Europe/Berlin"
)
def create(
    slug: Annotated[str, Parameter(help="a-z, 0-9 and hyphens; stands in addresses.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="For people; the slug unless given.")] = None,
    time_zone: Annotated[
        str | None, Parameter(help="IANA name, in which its schedules are read; UTC unless given.")
    ] = None,
    options: Options = ANYWHERE,
) -> None:
    """Create a company. Needs a token of the installation."""
    with connect(options) as client:
        company = client.create_company(slug, name=name, time_zone=time_zone)
    if options.json:
        print_json(company)
    else:
        console().print(f"Company {company.slug} is there now.")


@Parameter(name="*", group=CONNECTION)
@dataclass(frozen=True, kw_only=True)
class ControlOptions:
    """Where the server is. `--token` is a choice here, so the caller's own has another name."""

    url: Annotated[str | None, Parameter(env_var="RUNYARD_URL", help="Address of the server.")] = (
        None
    )
    native_token: Annotated[
        str | None, Parameter(env_var="RUNYARD_TOKEN", help="A native token.", show_default=False)
    ] = None
    data: Annotated[
        Path | None,
        Parameter(
            env_var="RUNYARD_DATA",
            help="The server's data folder: take its address and its administrator token.",
        ),
    ] = None
    json: Annotated[bool, Parameter(help="Print one JSON document.")] = False

    def usual(self) -> Options:
        """The same as every other command has it."""
        return Options(url=self.url, token=self.native_token, data=self.data, json=self.json)


@app.command(
    name="allow-control",
    help_epilogue="Examples:\n"
    "  CONTROL=$(runyard company allow-control acme --token)\n"
    "  runyard company allow-control acme --none\n"
    "  runyard company allow-control acme",
)
def allow_control(
    slug: Annotated[str, Parameter(help="Slug of the company.")],
    /,
    *,
    token: Annotated[
        bool,
        Parameter(negative="", help="Make a new token and print it, alone; the old one ends."),
    ] = False,
    none: Annotated[bool, Parameter(negative="", help="Let no token in any more.")] = False,
    options: ControlOptions = ControlOptions(),
) -> None:
    """Let programs steer a company through the Remote API, or not; without a choice, show."""
    if token and none:
        raise Misused("Choose one: --token, or --none.")
    with connect(options.usual()) as client:
        client.company = slug
        if token or none:
            control = client.allow_control("token" if token else "none")
        else:
            control = client.remote_control()
    if options.json:
        print_json(control)
    elif control.secret is not UNSET:
        print_plain(control.secret)
    elif none:
        console().print(f"No token controls {slug} any more.")
    else:
        _print_control(control)


def _print_control(control: "RemoteControl") -> None:
    token = control.token
    print_facts(
        (
            ("Allow control", "Token" if control.allowed else "None"),
            ("Remote API", control.url),
            ("Token ends in", token.last_characters if token else None),
            ("Created", token.created_at if token else None),
            ("Last used", token.last_used_at if token else None),
        )
    )
