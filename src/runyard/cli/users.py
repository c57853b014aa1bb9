"""`runyard user`: the people who sign in to the console."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from runyard.cli.exits import Misused
from runyard.cli.options import ANYWHERE, Options, connect
from runyard.cli.output import console, print_facts, print_json, print_plain, print_table, remarks
from runyard.cli.values import span

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import User

app = App(name="user", help="Users, who sign in to the console.")
keys = App(name="api-key", help="API keys, with which a user's programs log in.")
app.command(keys)

RoleName = Literal["viewer", "operator", "developer", "administrator"]
Who = Annotated[str, Parameter(name="USER", help="Email or id.")]
Where = Annotated[
    str | None, Parameter(help="Slug of the company in which it holds; in all unless given.")
]
FromInput = Annotated[
    bool, Parameter(help="Read the password from standard input, one line, instead of asking.")
]


@app.command(
    help_epilogue="Examples:\n"
    "  runyard user create ann@example.com --role administrator\n"
    '  runyard user create bob@example.com --name "Bob" --role operator --company acme'
)
def create(
    email: Annotated[str, Parameter(help="What the user signs in with.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="For people.")] = None,
    role: Annotated[RoleName | None, Parameter(help="What the user may do.")] = None,
    company: Where = None,
    password_stdin: FromInput = False,
    options: Options = ANYWHERE,
) -> None:
    """Create a user and print a link with which the user chooses a password, once."""
    password = _line_of_input() if password_stdin else None
    with connect(options) as client:
        user = client.create_user(email, name=name, role=role, company=company, password=password)
    if options.json:
        print_json(user)
        return
    console().print(f"User {user.email} (id {user.id}) is there now.")
    if user.setup_link is not None:
        console().print("The user chooses a password here; the link works once:")
        print_plain(user.setup_link.url)


@app.command(name="list", help_epilogue="Example:\n  runyard user list")
def list_users(*, options: Options = ANYWHERE) -> None:
    """List the users."""
    with connect(options) as client:
        users = client.users()
    if options.json:
        print_json(users)
        return
    print_table(
        ("Id", "Email", "Name", "Home", "Roles", "Signs in", "Created"),
        (
            (
                user.id,
                user.email,
                user.name,
                user.home_company,
                _roles(user),
                _signs_in(user),
                user.created_at,
            )
            for user in users
        ),
        empty="There is no user yet. Make the first one: runyard user setup-link",
    )


@app.command(help_epilogue="Example:\n  runyard user show ann@example.com")
def show(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """Show a user."""
    with connect(options) as client:
        found = client.user(user)
    _print(found, options)


@app.command(
    name="set-password",
    help_epilogue="Examples:\n"
    "  runyard user set-password ann@example.com\n"
    "  pass show runyard/ann | runyard user set-password ann@example.com --password-stdin",
)
def set_password(
    user: Who, /, *, password_stdin: FromInput = False, options: Options = ANYWHERE
) -> None:
    """Set a user's password. It ends every login of the user."""
    password = _line_of_input() if password_stdin else _asked()
    with connect(options) as client:
        client.set_user_password(user, password)
    if options.json:
        print_json({"user": user, "password_set": True})
    else:
        console().print(f"{user} has a new password, and is signed out everywhere.")


@app.command(
    name="setup-link",
    help_epilogue="Examples:\n  runyard user setup-link\n  runyard user setup-link bob@example.com",
)
def setup_link(
    user: Annotated[
        str | None,
        Parameter(name="USER", help="Email or id; the first administrator unless given."),
    ] = None,
    /,
    *,
    options: Options = ANYWHERE,
) -> None:
    """Print a link with which a user chooses a password, once, alone on its line.

    Without a user: the link that makes the first administrator of the installation.
    """
    with connect(options) as client:
        link = client.first_setup_link() if user is None else client.setup_link(user)
    if options.json:
        print_json(link)
    else:
        print_plain(link.url)


@app.command(
    help_epilogue="Examples:\n"
    "  runyard user role bob@example.com developer --company acme\n"
    "  runyard user role bob@example.com none"
)
def role(
    user: Who,
    role: Annotated[
        Literal["viewer", "operator", "developer", "administrator", "none"],
        Parameter(name="ROLE", help="What the user may do there."),
    ],
    /,
    *,
    company: Where = None,
    options: Options = ANYWHERE,
) -> None:
    """Give a user a role, or with `none` take it away."""
    with connect(options) as client:
        changed = client.set_user_role(user, None if role == "none" else role, company=company)
    _print(changed, options)


@app.command(help_epilogue="Example:\n  runyard user disable bob@example.com")
def disable(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """Let nobody sign in as this user any more; every login ends at once."""
    with connect(options) as client:
        changed = client.change_user(user, disabled=True)
    _print(changed, options)


@app.command(help_epilogue="Example:\n  runyard user enable bob@example.com")
def enable(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """Let a user sign in again."""
    with connect(options) as client:
        changed = client.change_user(user, disabled=False)
    _print(changed, options)


@app.command(help_epilogue="Example:\n  runyard user remove bob@example.com")
def remove(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """Remove a user with roles, logins and API keys. To keep them, `disable`."""
    with connect(options) as client:
        client.remove_user(user)
    if options.json:
        print_json({"user": user, "removed": True})
    else:
        console().print(f"{user} is removed.")


@app.command(name="sign-out", help_epilogue="Example:\n  runyard user sign-out bob@example.com")
def sign_out(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """End every login of a user, at once."""
    with connect(options) as client:
        client.sign_user_out(user)
    if options.json:
        print_json({"user": user, "signed_out": True})
    else:
        console().print(f"{user} is signed out everywhere.")


@keys.command(
    name="create",
    help_epilogue="Examples:\n"
    "  runyard user api-key create ann@example.com --name 'ticket system'\n"
    "  runyard user api-key create ann@example.com --lasting 90d",
)
def create_key(
    user: Who,
    /,
    *,
    name: Annotated[str, Parameter(help="For people, to tell keys apart.")] = "",
    lasting: Annotated[
        str | None, Parameter(help="How long it is valid, such as 90d; for ever unless given.")
    ] = None,
    options: Options = ANYWHERE,
) -> None:
    """Create an API key and print it, alone: it is shown only now."""
    validity = None if lasting is None else span(lasting)
    with connect(options) as client:
        key = client.create_api_key(user, name=name, lasting=validity)
    if options.json:
        print_json(key)
    else:
        print_plain(key.secret)


@keys.command(name="list", help_epilogue="Example:\n  runyard user api-key list ann@example.com")
def list_keys(user: Who, /, *, options: Options = ANYWHERE) -> None:
    """List a user's API keys, without their secrets."""
    with connect(options) as client:
        found = client.api_keys(user)
    if options.json:
        print_json(found)
        return
    print_table(
        ("Id", "Name", "Ends in", "Created", "Last used", "Valid"),
        (
            (
                key.id,
                key.name,
                key.last_characters,
                key.created_at,
                key.last_used_at,
                "revoked" if key.revoked_at else key.expires_at or "for ever",
            )
            for key in found
        ),
        empty="The user has no API key.",
    )


@keys.command(
    name="revoke", help_epilogue="Example:\n  runyard user api-key revoke ann@example.com 31"
)
def revoke_key(
    user: Who,
    key_id: Annotated[int, Parameter(name="ID", help="Its id, from `user api-key list`.")],
    /,
    *,
    options: Options = ANYWHERE,
) -> None:
    """Make an API key worthless, and end what logged in with it, at once."""
    with connect(options) as client:
        client.revoke_api_key(user, key_id)
    if options.json:
        print_json({"id": key_id, "revoked": True})
    else:
        console().print(f"API key {key_id} is revoked.")


def _print(user: "User", options: Options) -> None:
    if options.json:
        print_json(user)
        return
    print_facts(
        (
            ("Id", user.id),
            ("Email", user.email),
            ("Name", user.name),
            ("Home company", user.home_company),
            ("Roles", _roles(user)),
            ("Signs in", _signs_in(user)),
            ("Created", user.created_at),
        )
    )


def _roles(user: "User") -> str:
    return ", ".join(f"{each.role} ({each.company or 'everywhere'})" for each in user.roles)


def _signs_in(user: "User") -> str:
    if user.disabled_at is not None:
        return "no, is disabled"
    return "yes" if user.has_password else "no, has no password yet"


def _line_of_input() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise Misused("There is no password on standard input.")
    return line


def _asked() -> str:
    """The password, asked for twice where it is not shown."""
    from getpass import getpass

    if not sys.stdin.isatty():
        raise Misused("There is no terminal to ask for the password: use --password-stdin.")
    password = getpass("New password: ")
    if getpass("The same again: ") != password:
        raise Misused("The two are not the same.")
    remarks().print("")
    return password
