"""`runyard audit`: who has changed what, or signed in."""

from typing import Annotated

from cyclopts import App, Parameter

from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_json, print_table

app = App(name="audit", help="See who has changed what, or signed in.")


@app.command(
    name="list",
    help_epilogue="Examples:\n"
    "  runyard audit list --company acme\n"
    "  runyard audit list --company acme --limit 500 --json",
)
def list_audit(
    *,
    limit: Annotated[int, Parameter(help="Most entries shown, up to 500.")] = 25,
    after: Annotated[str | None, Parameter(help="`next` of the page before.")] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List the company's audit log, newest first."""
    with connect_company(options) as client:
        page = client.audit(limit=limit, after=after)
    if options.json:
        print_json(page)
        return
    print_table(
        ("At", "Who", "From", "Did", "To", "Refused"),
        ((e.at, e.actor, e.address, e.action, e.subject, e.detail) for e in page.items),
        empty="Nothing was done yet.",
    )
    if page.next is not None:
        console().print(f"Of {page.total}. Next page: --after {page.next}", style="dim")
