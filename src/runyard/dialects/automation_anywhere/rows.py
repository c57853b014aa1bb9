"""The JSON shapes of what clients list and deploy around API Tasks. Ids in rows are text."""

from typing import Annotated, Literal

from msgspec import Meta

from runyard.dialects.automation_anywhere.shapes import (
    Anything,
    Asked,
    Digits,
    Named,
    NumberOrDigits,
    PageShown,
    Shown,
)

# ---------------------------------------------------------------- deploy


class CallbackAddress(Asked, frozen=True, kw_only=True):
    """Who is told when an execution has ended."""

    url: str
    headers: dict[str, str] | None = None
    """What the request carries besides, such as a token of the receiver's. Kept sealed."""


class HeadlessRequest(Asked, frozen=True, kw_only=True):
    """Executes without a device."""

    number_of_executions: int | None = None
    """1."""
    shared_run_as_user_id: NumberOrDigits | None = None
    queue_on_slots_exhaustion: bool | None = None
    """False: where no slot is free it ends as DEPLOY_FAILED instead of waiting in the queue."""


class UnattendedRequest(Asked, frozen=True, kw_only=True):
    """Executes on a device for users."""

    run_as_user_ids: tuple[NumberOrDigits, ...] | None = None
    pool_ids: tuple[NumberOrDigits, ...] | None = None
    """Not heeded: any worker that fits the task executes it."""


class Deployment(Asked, frozen=True, kw_only=True):
    """What is executed on demand (v4)."""

    bot_id: NumberOrDigits
    """Id of the task."""
    automation_name: Annotated[str, Meta(max_length=500)] | None = None
    """Made up unless given."""
    automation_priority: str | None = None
    """PRIORITY_LOW, PRIORITY_MEDIUM or PRIORITY_HIGH; the task's own unless given."""
    bot_input: dict[str, Anything] | None = None
    callback_info: CallbackAddress | None = None
    headless_request: HeadlessRequest | None = None
    unattended_request: UnattendedRequest | None = None
    attended_request: dict[str, Anything] | None = None


class DeploymentV3(Asked, frozen=True, kw_only=True):
    """What is executed on demand (v3)."""

    file_id: NumberOrDigits
    """Id of the task."""
    run_as_user_ids: tuple[NumberOrDigits, ...] | None = None
    bot_input: dict[str, Anything] | None = None
    callback_info: CallbackAddress | None = None
    call_back_info: CallbackAddress | None = None
    """Another spelling of callbackInfo."""
    queue_on_slots_exhaustion: bool | None = None
    """False: where no slot is free it ends as DEPLOY_FAILED instead of waiting in the queue."""


class Deployed(Shown, frozen=True, kw_only=True):
    """An execution that was queued. It is on disk."""

    deployment_id: str
    automation_name: str


# ---------------------------------------------------------------- activity


class ActivityError(Shown, frozen=True, kw_only=True):
    """Why an execution failed."""

    message: str
    line_number: int | None
    code: str


class Activity(Shown, frozen=True, kw_only=True):
    """An execution."""

    id: str
    automation_name: str
    file_name: str
    file_path: str
    bot_name: str
    type: Literal["RUN_NOW", "SCHEDULED"]
    start_date_time: str
    end_date_time: str
    """Empty while it is under way."""
    started_on: str
    completed_on: str
    command: str
    status: str
    progress: int
    automation_id: Digits
    user_id: Digits
    device_id: Digits
    current_line: int
    total_lines: int
    file_id: Digits
    created_by: str
    created_on: str
    modified_by: str
    modified_on: str
    deployment_id: str
    queue_name: str
    queue_id: str
    using_rdp: bool
    message: str
    can_manage: bool
    device_name: str
    user_name: str
    tenant_uuid: str
    automation_priority: str
    run_elevated: bool
    bot_label: str
    current_bot_name: str
    callback_info: str
    parent_id: str
    initiation_type: str
    activity_type: str
    ref_id: str


class Outputs(Shown, frozen=True, kw_only=True):
    """Output variables."""

    values: dict[str, Anything]


class ActivityDetail(Activity, frozen=True, kw_only=True):
    """An execution with its outputs, and how it failed."""

    bot_out_variables: Outputs
    error: ActivityError | None


class ActivityWithOutputs(Activity, frozen=True, kw_only=True):
    """An execution with its outputs."""

    bot_out_variables: Outputs | None
    """Null where the outputs of the executions before it are as much as one answer brings."""


class ActivityListV2(Shown, frozen=True, kw_only=True):
    """Executions with their outputs, newest first unless sorted otherwise."""

    page: PageShown
    list: tuple[ActivityWithOutputs, ...]


class ActivityList(Shown, frozen=True, kw_only=True):
    """Executions, newest first unless sorted otherwise."""

    page: PageShown
    list: tuple[Activity, ...]


class Executions(Asked, frozen=True, kw_only=True):
    """Which executions."""

    execution_ids: tuple[str, ...]


class Managing(Asked, frozen=True, kw_only=True):
    """One thing to be done with executions."""

    stop_executions: Executions | None = None
    pause_executions: Executions | None = None
    """Only those that have not begun."""
    resume_executions: Executions | None = None


class ManageError(Shown, frozen=True, kw_only=True):
    """An execution with which it could not be done."""

    execution_id: str
    error_response: dict[str, Anything]


class Managed(Shown, frozen=True, kw_only=True):
    """With which executions it was done."""

    requests_sent_to_device: tuple[str, ...]
    manage_action_errors: tuple[ManageError, ...]


# ---------------------------------------------------------------- repository


class RepositoryItem(Shown, frozen=True, kw_only=True):
    """A task, as a file of the repository, or a folder."""

    id: Digits
    parent_id: Digits
    name: str
    path: str
    type: str
    folder: bool
    directory: bool
    size: Digits
    version: str
    workspace_type: Literal["PUBLIC"]
    bot_status: Literal["PUBLIC"]
    locked: bool
    locked_by: Digits
    last_modified: str
    last_modified_by: Digits
    created_by: Digits
    description: str
    tags: tuple[str, ...]
    permission: dict[str, bool]
    has_errors: bool
    is_edited: bool
    uuid: str


class RepositoryList(Shown, frozen=True, kw_only=True):
    """Files of the repository."""

    page: PageShown
    list: tuple[RepositoryItem, ...]


class DefaultValue(Shown, frozen=True, kw_only=True):
    """What a variable is unless it is given."""

    type: str
    string: str
    number: str
    boolean: str


class Variable(Shown, frozen=True, kw_only=True):
    """A variable of a task."""

    name: str
    input: bool
    output: bool
    type: str
    description: str
    default_value: DefaultValue | None


class Command(Shown, frozen=True, kw_only=True):
    """A statement of a task."""

    command: str
    """What it calls, such as log.info, or what it is, such as if."""
    line: int
    """In the task's module, from 1."""


class Content(Shown, frozen=True, kw_only=True):
    """What a task does, line by line."""

    commands: tuple[Command, ...]


class Interface(Shown, frozen=True, kw_only=True):
    """What a task takes and returns."""

    variables: tuple[Variable, ...]


# ---------------------------------------------------------------- devices and users


class DefaultUser(Shown, frozen=True, kw_only=True):
    """A user for whom a device executes."""

    id: Digits
    username: str
    domain: str


class Device(Shown, frozen=True, kw_only=True):
    """A worker."""

    id: Digits
    host_name: str
    type: Literal["MULTIPLE_USERS"]
    status: Literal["CONNECTED", "DISCONNECTED", "OFFLINE"]
    nickname: str
    bot_agent_version: str
    pool_name: str
    default_users: tuple[DefaultUser, ...]
    lifespan: str
    installation_type: str
    host_type: str
    deployment_type: str


class DeviceList(Shown, frozen=True, kw_only=True):
    """Workers that serve the company."""

    page: PageShown
    list: tuple[Device, ...]


class RunAsUser(Shown, frozen=True, kw_only=True):
    """A user in whose name tasks run."""

    id: Digits
    username: str


class RunAsUserList(Shown, frozen=True, kw_only=True):
    """Users in whose name tasks run; the built-in apitaskrunner first."""

    page: PageShown
    list: tuple[RunAsUser, ...]


class Pool(Shown, frozen=True, kw_only=True):
    """All workers of the company."""

    id: Digits
    name: str
    status: Literal["CONNECTED", "DISCONNECTED"]
    device_count: Digits


class PoolList(Shown, frozen=True, kw_only=True):
    """Pools: there is one, of all workers."""

    page: PageShown
    list: tuple[Pool, ...]


class UserRow(Shown, frozen=True, kw_only=True):
    """A user of the company."""

    id: Digits
    username: str
    email: str
    domain: str
    first_name: str
    last_name: str
    roles: tuple[Named, ...]
    license_features: tuple[str, ...]
    multiple_login_allowed: bool
    disabled: bool
    created_on: str


class UserList(Shown, frozen=True, kw_only=True):
    """Users of the company."""

    page: PageShown
    list: tuple[UserRow, ...]


class NewUser(Asked, frozen=True, kw_only=True):
    """A user to be made in the company."""

    username: str
    """The email with which the user logs in."""
    password: str | None = None
    first_name: str = ""
    last_name: str = ""
    role_ids: tuple[NumberOrDigits, ...] = ()
    """1 AAE_Basic, 2 AAE_Bot Runner, 3 AAE_Bot Developer, 4 AAE_Admin; the highest counts."""


# ---------------------------------------------------------------- audit


class AuditMessage(Shown, frozen=True, kw_only=True):
    """Something that somebody did, or tried to."""

    id: Digits
    activity_type: str
    """What was done, such as LOG_IN or CREATE_ALLOCATION."""
    event_description: str
    environment_name: str
    host_name: str
    """Where it was asked for from."""
    user_name: str
    """Whoever did it, or said to be when nobody was let in."""
    status: Literal["Successful", "Unsuccessful"]
    source: str
    """Method and path of the request."""
    object_name: str
    """To what it was done."""
    detail: str
    """Why it did not succeed."""
    created_on: str
    created_by: Digits
    """Id of whoever did it; 0 for nobody who was let in."""


class AuditList(Shown, frozen=True, kw_only=True):
    """The audit log."""

    page: PageShown
    list: tuple[AuditMessage, ...]
