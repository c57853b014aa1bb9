"""The JSON shapes of the dialect. The docstring below a field is its description in the document.

Callers are forgiven much: unknown members, nulls, numbers as text. What is answered is exact.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

Digits = Annotated[str, Meta(pattern=r"^\d{1,18}$")]
NumberOrDigits: TypeAlias = int | str
Anything: TypeAlias = Any


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of what callers send. Members that are not known are overlooked."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of what is answered."""


# ---------------------------------------------------------------- authentication


class Credentials(Asked, frozen=True, kw_only=True):
    """Who logs in: the username, and the password or an API key."""

    username: str
    """The user's email; `company\\name` works in another of the user's companies than its home."""
    password: str | None = None
    api_key: str | None = None
    """Instead of the password."""
    multiple_login: bool | None = None
    """Whether later logins of the user leave this session alone. With an API key they always do."""


class TokenBody(Asked, frozen=True, kw_only=True):
    """A token, unless it stands in the header."""

    token: str | None = None


class Named(Shown, frozen=True, kw_only=True):
    """A role."""

    id: int
    name: str


class Allowed(Shown, frozen=True, kw_only=True):
    """Something that a user may do."""

    id: int
    action: str
    resource_type: str
    resource_id: str | None


class LoggedInUser(Shown, frozen=True, kw_only=True):
    """The user who has logged in."""

    id: int
    username: str
    domain: str
    email: str
    first_name: str
    last_name: str
    roles: tuple[Named, ...]
    sys_assigned_roles: tuple[Named, ...]
    group_names: tuple[str, ...]
    permissions: tuple[Allowed, ...]
    license_features: tuple[str, ...]
    multiple_login_allowed: bool
    tenant_uuid: str


class Session(Shown, frozen=True, kw_only=True):
    """A token, and whose it is."""

    token: str
    """Send it as X-Authorization."""
    user: LoggedInUser


class Validity(Shown, frozen=True, kw_only=True):
    """Whether a token opens anything."""

    valid: bool


class TokenQuery(Asked, frozen=True, kw_only=True):
    """Which token; the header's unless given."""

    token: str | None = None


# ---------------------------------------------------------------- lists


class PageRequest(Asked, frozen=True, kw_only=True):
    """Which part of a list."""

    offset: int | None = None
    """How many to leave out first."""
    length: int | None = None
    """How many at most: up to 10,000, 100 unless given."""


class ListRequest(Asked, frozen=True, kw_only=True):
    """What a list shows; each part may be left out or null."""

    filter: dict[str, Anything] | None = None
    """A condition `{operator, field, value}`, or a group `{operator, operands}` of them."""
    sort: tuple[dict[str, Anything], ...] | None = None
    """Fields in order, each with `field` and `direction` (asc or desc)."""
    fields: tuple[str, ...] | None = None
    """Only these members of each row."""
    page: PageRequest | None = None


class PageShown(Shown, frozen=True, kw_only=True):
    """Where a part of a list stands in the whole."""

    offset: int
    total: int
    """All that the caller may see, whatever the filter."""
    total_filter: int
    """All that fit the filter."""


# ---------------------------------------------------------------- allocations


class NewAllocation(Asked, frozen=True, kw_only=True):
    """Which task is kept warm for calls, and how."""

    file_id: NumberOrDigits
    """Id of the task."""
    run_as_user_or_none: NumberOrDigits | None = None
    """Id of the user in whose name it runs; the built-in apitaskrunner unless given."""
    concurrency_limit: int | None = None
    """How many calls execute at once; 1 unless given."""


class AllocationChange(Asked, frozen=True, kw_only=True):
    """How a task is kept warm; what is left out stays."""

    run_as_user_or_none: NumberOrDigits | None = None
    concurrency_limit: int | None = None


class Allocation(Shown, frozen=True, kw_only=True):
    """A task that is kept warm for calls."""

    file_id: Digits
    run_as_user_or_none: int
    concurrency_limit: int


class AllocationRow(Shown, frozen=True, kw_only=True):
    """A task that is kept warm for calls, as lists show it."""

    file_id: Digits
    file_path: str
    """With backslashes, from the root folder on."""
    file_name: str
    run_as_user_or_none: Digits | None
    concurrency_limit: int


class AllocationList(Shown, frozen=True, kw_only=True):
    """Tasks that are kept warm for calls."""

    list: tuple[AllocationRow, ...]
    page: PageShown


class AccessRequest(Asked, frozen=True, kw_only=True):
    """Which tasks are to be executed."""

    bot_repository_path: tuple[str, ...] | str
    """Repository paths; a single one may stand alone."""


class Access(Shown, frozen=True, kw_only=True):
    """Where a task is executed, and with which headers."""

    url: str
    headers: dict[str, str]


class AccessList(Shown, frozen=True, kw_only=True):
    """Where tasks are executed, by the paths as they were sent."""

    access_details: dict[str, Access]
    errors: dict[str, str]
    """Why a path has no access details; empty when all have."""


# ---------------------------------------------------------------- execution


class Execution(Asked, frozen=True, kw_only=True):
    """The input of one execution."""

    bot_input: dict[str, Anything] | None = None
    """Values of the task's input variables by name, each `{"type": "STRING", "string": "76131"}` or
    the like; a bare JSON value is taken as well."""
    bot_input_too: dict[str, Anything] | None = msgspec.field(default=None, name="BotInput")
    """Another spelling of botInput, which counts when that is not there."""


class HotBotResult(Shown, frozen=True, kw_only=True):
    """What a task returned."""

    bot_output: dict[str, Anything]
    """Values of its output variables by name."""


class ExecutionResult(Shown, frozen=True, kw_only=True):
    """What an execution came to."""

    hot_bot_result: HotBotResult
