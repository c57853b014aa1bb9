"""`runyard callback`: what other servers are told when runs have ended."""

from typing import Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import Misused
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_json, print_plain, print_table, remarks, shown
from runyard.model.callbacks import CallbackState

app = App(name="callback", help="Tell other servers when runs have ended.")

CallbackRef = Annotated[str, Parameter(name="CALLBACK", help="Id or public id.")]


@app.command(
    name="list",
    help_epilogue="Examples:\n"
    "  runyard callback list --company acme --state dead\n"
    "  runyard callback list --company acme --run 17",
)
def list_callbacks(
    *,
    run: Annotated[str | None, Parameter(help="Only those of this run.")] = None,
    state: Annotated[CallbackState | None, Parameter(help="Only those in this state.")] = None,
    limit: Annotated[int, Parameter(help="Most callbacks shown, up to 500.")] = 25,
    after: Annotated[str | None, Parameter(help="`next` of the page before.")] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List callbacks, newest first."""
    with connect_company(options) as client:
        page = client.callbacks(run=run, state=state, limit=limit, after=after)
    if options.json:
        print_json(page)
        return
    print_table(
        ("Id", "Run", "State", "Tries", "Answered", "Due", "Address"),
        (
            (c.id, c.run_id, c.state, c.tries, c.answered, _due(c.state, c.due_at), c.url)
            for c in page.items
        ),
        empty="There are no such callbacks.",
    )
    if page.next is not None:
        about = "" if page.total_is_exact else "more than "
        console().print(f"Of {about}{page.total}. Next page: --after {page.next}", style="dim")


@app.command(help_epilogue="Example:\n  runyard callback show 4711 --company acme")
def show(callback: CallbackRef, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Show a callback."""
    with connect_company(options) as client:
        found = client.callback(callback)
    if options.json:
        print_json(found)
        return
    print_table(
        ("What", "Is"),
        (
            ("id", found.id),
            ("webhook-id", found.public_id),
            ("run", found.run_id),
            ("address", found.url),
            ("state", found.state),
            ("tries", found.tries),
            ("due", _due(found.state, found.due_at)),
            ("answered", found.answered),
            ("detail", found.detail),
            ("created", found.created_at),
            ("ended", found.ended_at),
        ),
        empty="",
    )


@app.command(
    help_epilogue="Examples:\n"
    "  runyard callback resend 4711 --company acme\n"
    "  runyard callback resend --dead --company acme"
)
def resend(
    callback: Annotated[str | None, Parameter(name="CALLBACK", help="Id or public id.")] = None,
    /,
    *,
    dead: Annotated[bool, Parameter(help="All that were given up.", negative=())] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Send a callback again, or all that were given up."""
    if (callback is None) != dead:
        raise Misused("Give either a callback or --dead.")
    with connect_company(options) as client:
        if callback is not None:
            found = client.resend_callback(callback)
            if options.json:
                print_json(found)
            else:
                console().print(f"Callback {found.id} is sent again.")
            return
        count = client.resend_dead_callbacks()
    if options.json:
        print_json({"resent": count})
    else:
        console().print(f"{count} callbacks are sent again.")


@app.command(
    help_epilogue="Examples:\n"
    "  runyard callback secret --company acme\n"
    "  runyard callback secret --rotate --company acme"
)
def secret(
    *,
    rotate: Annotated[
        bool, Parameter(help="Make a new one; the one before signs for a day more.", negative=())
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Print the secret that receivers verify callbacks with, alone."""
    with connect_company(options) as client:
        found = client.rotate_callback_secret() if rotate else client.callback_secret()
    if options.json:
        print_json(found)
        return
    print_plain(found.secret)
    if found.previous is not None:
        remarks().print(f"The one before signs as well until {shown(found.previous_until)}.")


def _due(state: CallbackState, due_at: object) -> object:
    """When it is sent; while it is being sent the instant means nothing to people."""
    return due_at if state is CallbackState.DUE else None
