"""`runyard audit`: who has changed what, or signed in."""

from typing import Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import DONE, FAILED
from runyard.cli.options import (
    ANYWHERE,
    IN_COMPANY,
    CompanyOptions,
    Options,
    connect,
    connect_company,
)
from runyard.cli.output import console, print_json, print_table

app = App(name="audit", help="See who has changed what, or signed in.")


@app.command(
    name="list",
    help_epilogue="Examples:\n"
    "  runyard audit list --company acme\n"
    "  runyard audit list --company acme --limit 500 --json\n"
    "  runyard audit list --installation",
)
def list_audit(
    *,
    limit: Annotated[int, Parameter(help="Most entries shown, up to 500.")] = 25,
    after: Annotated[str | None, Parameter(help="`next` of the page before.")] = None,
    installation: Annotated[
        bool,
        Parameter(
            help="What concerns the whole installation: companies, users, workers, unknown callers."
        ),
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List the audit log of the company, or of the installation, newest first."""
    with connect(options) if installation else connect_company(options) as client:
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


@app.command(
    name="verify",
    help_epilogue="Examples:\n"
    "  runyard audit verify\n"
    '  runyard audit verify --noted "$(cat audit-end.txt)"\n'
    "  runyard audit verify --json | jq -r .end > audit-end.txt",
)
def verify(
    *,
    noted: Annotated[
        str | None,
        Parameter(help="`end` of an earlier verification: the log must still contain it."),
    ] = None,
    options: Options = ANYWHERE,
) -> int:
    """Look whether the whole audit log is what was written. Exit code 1 when it is not.

    Entries are linked to one another with a key that the database does not hold. Whoever alters, adds
    or removes some in the database is found out; that the newest ones are gone shows only beside an
    end that was noted elsewhere.
    """
    with connect(options) as client:
        found = client.verify_audit(noted=noted)
    if options.json:
        print_json(found)
    elif found.broken is None:
        console().print(f"{found.entries:,} entries are what was written. The end: {found.end}")
    else:
        which = "" if found.broken.entry is None else f" (id {found.broken.entry})"
        told = f"Entry {found.broken.place}{which}: {found.broken.detail}."
        console().print(f"{told} The {found.entries:,} before it are what was written.")
    return DONE if found.ok else FAILED
