"""`runyard token`: credentials that programs present."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from runyard.cli.exits import Misused
from runyard.cli.options import ANYWHERE, IN_COMPANY, CompanyOptions, Options, connect
from runyard.cli.output import console, print_json, print_plain, print_table
from runyard.cli.values import span

if TYPE_CHECKING:
    from runyard.sdk.client import Client

app = App(name="token", help="Tokens, which programs present.")

Installation = Annotated[bool, Parameter(help="Of the whole installation instead of one company.")]


@app.command(
    help_epilogue="Examples:\n"
    "  export RUNYARD_TOKEN=$(runyard token create native --company acme --data ./runyard-data)\n"
    "  runyard token create worker --company acme --lasting 90d --name host-17\n"
    "  runyard token create worker --installation --join\n"
    "  runyard token create system --company acme --name Finance"
)
def create(  # noqa: PLR0913 - each is an option
    kind: Annotated[
        Literal["native", "worker", "remote-control", "system"],
        Parameter(help="Which door it opens."),
    ],
    /,
    *,
    role: Annotated[
        Literal["viewer", "operator", "developer", "administrator"] | None,
        Parameter(help="What its holder may do; operator unless given."),
    ] = None,
    name: Annotated[str | None, Parameter(help="For people, to tell tokens apart.")] = None,
    lasting: Annotated[
        str | None, Parameter(help="How long it is valid, such as 90d; for ever unless given.")
    ] = None,
    join: Annotated[
        bool, Parameter(help="Of a worker token: its workers need not be allowed by anybody.")
    ] = False,
    installation: Installation = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Create a token and print it, alone: it is shown only now."""
    validity = None if lasting is None else span(lasting)
    with _client(options, installation=installation) as client:
        token = client.create_token(kind, role=role, name=name, lasting=validity, joins=join)
    if options.json:
        print_json(token)
    else:
        print_plain(token.secret)


@app.command(name="list", help_epilogue="Example:\n  runyard token list --company acme")
def list_tokens(
    *, installation: Installation = False, options: CompanyOptions = IN_COMPANY
) -> None:
    """List tokens, without their secrets."""
    with _client(options, installation=installation) as client:
        tokens = client.tokens()
    if options.json:
        print_json(tokens)
        return
    print_table(
        ("Id", "Kind", "Role", "Name", "Ends in", "Created", "Last used", "Valid"),
        (
            (
                token.id,
                token.kind,
                token.role,
                token.name,
                token.last_characters,
                token.created_at,
                token.last_used_at,
                "revoked" if token.revoked_at else token.expires_at or "for ever",
            )
            for token in tokens
        ),
        empty="There are no tokens.",
    )


@app.command(help_epilogue="Example:\n  runyard token revoke 12 --company acme")
def revoke(
    token_id: Annotated[int, Parameter(name="ID", help="Its id, from `token list`.")],
    /,
    *,
    installation: Installation = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Make a token worthless, at once."""
    with _client(options, installation=installation) as client:
        client.revoke_token(token_id)
    if options.json:
        print_json({"id": token_id, "revoked": True})
    else:
        console().print(f"Token {token_id} is revoked.")


@app.command(
    name="rotate-keys",
    help_epilogue="Examples:\n  runyard token rotate-keys\n  runyard token rotate-keys --discard",
)
def rotate_keys(
    *,
    discard: Annotated[
        bool, Parameter(help="Forget earlier keys: whatever they signed is void at once.")
    ] = False,
    options: Options = ANYWHERE,
) -> None:
    """Sign the tokens of logged in programs with a new key from now on."""
    with connect(options) as client:
        key = client.rotate_signing_keys(discard=discard)
    if options.json:
        print_json(key)
        return
    console().print(f"Key {key.id} signs from now on.")
    kept = (
        "Everything that earlier keys signed is void." if discard else "Earlier tokens stay valid."
    )
    console().print(kept)


def _client(options: CompanyOptions, *, installation: bool) -> "Client":
    """Whose tokens: always said, never guessed."""
    if not installation and options.company is None:
        raise Misused("Say whose tokens: --company SLUG, or --installation.")
    client = connect(options)
    client.company = None if installation else options.company
    return client
