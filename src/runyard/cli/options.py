"""Options that many commands share, and how a server is found by them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from runyard.cli.exits import Misused
from runyard.model.errors import RunyardError

if TYPE_CHECKING:
    from runyard.sdk.client import Client

DEFAULT_DATA = Path("runyard-data")
DEFAULT_URL = "http://127.0.0.1:7070"
ADDRESS_FILE = "address"
TOKEN_FILE = "admin.token"
TRIES = 3
"""A person does not want to wait long to hear that there is no server."""
CONNECTION = Group("Connection", sort_key=50)


@Parameter(name="*", group=CONNECTION)
@dataclass(frozen=True, kw_only=True)
class Options:
    """Where the server is, who asks, and how answers are printed."""

    url: Annotated[str | None, Parameter(env_var="RUNYARD_URL", help="Address of the server.")] = (
        None
    )
    token: Annotated[
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


@dataclass(frozen=True, kw_only=True)
class CompanyOptions(Options):
    """The same, and in which company."""

    company: Annotated[
        str | None,
        Parameter(
            env_var="RUNYARD_COMPANY",
            help="Slug of the company; needed when the token sees several.",
        ),
    ] = None


ANYWHERE = Options()
IN_COMPANY = CompanyOptions()


def connect(options: Options) -> "Client":
    """A client of the server that the options name, of no company."""
    from runyard.sdk.client import Client

    url, token = _server(options)
    return Client(url, token, tries=TRIES)


def connect_company(options: CompanyOptions) -> "Client":
    """A client of the company that the options name, or of the only one that the token sees."""
    client = connect(options)
    try:
        client.company = options.company or _only_company(client)
    except RunyardError:
        client.close()
        raise
    return client


def _server(options: Options) -> tuple[str, str]:
    if options.data is not None:
        return _of_folder(options.data)
    if options.url is None and options.token is None and DEFAULT_DATA.is_dir():
        return _of_folder(DEFAULT_DATA)
    if options.token is None:
        raise Misused(_without_token(options.url))
    return options.url or _address_in(DEFAULT_DATA), options.token


def _without_token(url: str | None) -> str:
    if url is None:
        return "Say where the server is: set RUNYARD_URL and RUNYARD_TOKEN, or give --data DIR."
    return f"A token is missing for {url}: set RUNYARD_TOKEN, or give --token T."


def _of_folder(folder: Path) -> tuple[str, str]:
    """Address and token of the server whose data folder this is."""
    try:
        token = (folder / TOKEN_FILE).read_text().strip()
        return _address_in(folder), token
    except OSError as error:
        raise Misused(
            f"{folder} is not the data folder of a server that was started, or is not yours: "
            f"{error.strerror} ({error.filename})."
        ) from error


def _address_in(folder: Path) -> str:
    """Where the server of this folder answered last; the usual address if it says nothing."""
    address = folder / ADDRESS_FILE
    return address.read_text().strip() if address.exists() else DEFAULT_URL


def _only_company(client: "Client") -> str:
    companies = client.companies()
    if len(companies) == 1:
        return companies[0].slug
    if not companies:
        raise Misused("There is no company yet. Make one: runyard company create SLUG")
    slugs = ", ".join(company.slug for company in companies)
    raise Misused(f"Say which company with --company: {slugs}.")
