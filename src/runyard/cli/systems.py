"""`runyard system`: programs of others that call in by a UUID, and which of them may."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.exits import Misused
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_facts, print_json, print_plain, print_table, remarks
from runyard.model.systems import SystemState

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import CreatedSystem, System

app = App(name="system", help="Systems: programs of others that call in by a UUID.")

Which = Annotated[str, Parameter(name="SYSTEM", help="Its name or id, from `system list`.")]
Description = Annotated[str | None, Parameter(help="What it is, for people.")]
_HOST = "Host, address or network that input files of its runs may come from, such as"


@app.command(
    help_epilogue="Examples:\n"
    "  AUTH_TKN=$(runyard system create Finance --company acme --allowed)\n"
    '  runyard system create Finance --company acme --description "Books invoices"\n'
    "  runyard system create Finance --company acme --files-from 10.1.0.0/16:443"
)
def create(
    name: Annotated[str, Parameter(name="NAME", help="For people; not only digits.")],
    /,
    *,
    description: Description = None,
    files_from: Annotated[
        list[str] | None, Parameter(help=f"{_HOST} 10.1.0.0/16:443; may be repeated.")
    ] = None,
    allowed: Annotated[
        bool, Parameter(help="Let it call at once; otherwise it waits to be allowed.", negative=())
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Create a system and print its UUID, alone: it is shown only now."""
    with connect_company(options) as client:
        created = client.create_system(
            name, description=description, files_from=files_from or (), allowed=allowed
        )
    _print_created(created, options)
    if not options.json and created.state is not SystemState.ALLOWED:
        remarks().print(f"It waits to be allowed: runyard system allow {created.id}")


@app.command(
    name="list",
    help_epilogue="Examples:\n"
    "  runyard system list --company acme\n"
    "  runyard system list --company acme --state request",
)
def list_systems(
    *,
    state: Annotated[SystemState | None, Parameter(help="Only those in this state.")] = None,
    search: Annotated[
        str | None, Parameter(help="Only those with this in name, description or address.")
    ] = None,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """List systems, newest first."""
    with connect_company(options) as client:
        systems = client.systems(state=state, search=search)
    if options.json:
        print_json(systems)
        return
    print_table(
        ("Id", "Name", "State", "Description", "Address", "Ends in", "Created", "Updated", "Seen"),
        (
            (
                system.id,
                system.name,
                system.state,
                system.description,
                system.address,
                system.last_characters,
                system.created_at,
                system.updated_at,
                system.last_seen_at,
            )
            for system in systems
        ),
        empty="There are no such systems.",
    )


@app.command(help_epilogue="Example:\n  runyard system show Finance --company acme")
def show(system: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Show a system."""
    with connect_company(options) as client:
        _print(client.system(system), options)


@app.command(help_epilogue="Example:\n  runyard system allow Finance --company acme")
def allow(system: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Let a system call, from now on."""
    with connect_company(options) as client:
        _say(client.allow_system(system), options)


@app.command(help_epilogue="Example:\n  runyard system lock Finance --company acme")
def lock(system: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Keep a system out, from now on. What it started goes on."""
    with connect_company(options) as client:
        _say(client.lock_system(system), options)


@app.command(
    help_epilogue="Examples:\n"
    "  runyard system change Finance --name Accounts --company acme\n"
    "  runyard system change Finance --files-from bpm.example.org --company acme\n"
    "  runyard system change Finance --no-files-from --company acme"
)
def change(
    system: Which,
    /,
    *,
    name: Annotated[str | None, Parameter(help="Another name.")] = None,
    description: Description = None,
    files_from: Annotated[
        list[str] | None,
        Parameter(
            help=f"{_HOST} 10.1.0.0/16:443, instead of all before; may be repeated.", negative=()
        ),
    ] = None,
    no_files_from: Annotated[
        bool, Parameter(help="Close all hosts that are open to it.", negative=())
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Change a system's name, description or hosts."""
    if files_from and no_files_from:
        raise Misused("Choose one: --files-from, or --no-files-from.")
    hosts = [] if no_files_from else files_from
    if name is None and description is None and hosts is None:
        raise Misused("Say what is to be different: --name, --description, --files-from.")
    with connect_company(options) as client:
        changed = client.change_system(system, name=name, description=description, files_from=hosts)
    _print(changed, options)


@app.command(help_epilogue="Example:\n  AUTH_TKN=$(runyard system renew Finance --company acme)")
def renew(system: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Give a system a new UUID and print it, alone. The one before is refused from now on."""
    with connect_company(options) as client:
        _print_created(client.renew_system(system), options)


@app.command(help_epilogue="Example:\n  runyard system remove Finance --company acme")
def remove(system: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Remove a system: its UUID is refused from now on. What it started goes on."""
    with connect_company(options) as client:
        client.remove_system(system)
    if options.json:
        print_json({"system": system, "removed": True})
    else:
        console().print(f"System {system} is removed.", markup=False)


def _print_created(created: "CreatedSystem", options: CompanyOptions) -> None:
    if options.json:
        print_json(created)
    else:
        print_plain(created.uuid)


def _say(system: "System", options: CompanyOptions) -> None:
    if options.json:
        print_json(system)
    else:
        console().print(f"System {system.name} is {system.state}.", markup=False)


def _print(system: "System", options: CompanyOptions) -> None:
    if options.json:
        print_json(system)
        return
    print_facts(
        (
            ("Id", system.id),
            ("Name", system.name),
            ("State", system.state),
            ("Description", system.description),
            ("UUID ends in", system.last_characters),
            ("Files from", ", ".join(system.files_from)),
            ("Address", system.address),
            ("Created", system.created_at),
            ("Updated", system.updated_at),
            ("By", system.updated_by),
            ("Seen", system.last_seen_at),
        )
    )
