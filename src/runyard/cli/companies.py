"""`runyard company`: the owners of everything."""

from typing import Annotated

from cyclopts import App, Parameter

from runyard.cli.options import ANYWHERE, Options, connect
from runyard.cli.output import console, print_json, print_table

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
