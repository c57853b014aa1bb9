"""Every operation of the native API, once. Both clients get their methods from here."""

import mimetypes
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from runyard.model.errors import Refused
from runyard.model.states import Cause, RunState, Trigger
from runyard.protocol import (
    audit_shapes,
    call_shapes,
    credential_shapes,
    shapes,
    system_shapes,
    user_shapes,
)
from runyard.sdk.client.archive import Archive, pack
from runyard.sdk.client.events import EVENT_STREAM
from runyard.sdk.client.failures import ServerBroken, failure
from runyard.sdk.client.requests import (
    Answer,
    Plan,
    Query,
    Request,
    ServerEvent,
    as_json,
    ask,
    operation,
    read,
)
from runyard.sdk.client.shapes import CallAnswer, Called, KilledRun, Run, RunPage

API = "/runyard/v1"
LONGEST_WAIT = timedelta(seconds=60)
"""How long one request waits for a run; longer waits are made of several."""
DEPLOY_PATIENCE = timedelta(minutes=15)
"""An environment may have to be built first."""
ZIP = "application/zip"
CALL_PATIENCE = timedelta(minutes=2)
SPILLED = 202
AS_USUAL = call_shapes.AllocationChange()

Ref = int | str
"""An id, a uuid, a public id or a name."""
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NewCallback(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to be told when a run has ended."""

    url: str
    headers: Mapping[str, str] = {}
    """What the request carries besides."""


class NewRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run to start."""

    task: str
    """Id, uuid, public id or name."""
    input: Any = {}
    priority: int | None = None
    """1 to 99, lower first. None: the task's, else the company's."""
    due_at: datetime | None = None
    """Not before this instant."""
    parked: bool = False
    """Held until it is released."""
    callbacks: tuple[NewCallback, ...] = ()
    """Who is told when it has ended."""


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule to make, by exactly one of `cron`, `interval` and `at`."""

    task: str
    """Id, uuid, public id or name."""
    name: str
    cron: str | None = None
    """Five fields."""
    time_zone: str | None = None
    """IANA name in which the fields are read. None: the company's."""
    interval: timedelta | None = None
    at: datetime | None = None
    """Once, at this instant."""
    input: Any = {}
    priority: int | None = None


class RunFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs a list shows: those that fit everything that is given."""

    task: str | None = None
    """Id, uuid, public id or name."""
    state: tuple[RunState, ...] = ()
    """Any of these."""
    cause: tuple[Cause, ...] = ()
    """Any of these."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    finished_from: datetime | None = None
    finished_before: datetime | None = None
    worker: int | None = None
    schedule: int | None = None
    trigger: Trigger | None = None
    restarted_from: int | None = None


class Operations:
    """The methods of both clients."""

    company: str | None
    """Slug of the company that they work in."""

    # ------------------------------------------------------------ companies and tokens

    @operation
    def companies(self) -> Plan[tuple[shapes.Company, ...]]:
        """All companies that the token sees."""
        return (yield from _all_pages(_get(f"{API}/companies"), shapes.CompanyPage))

    @operation
    def create_company(
        self, slug: str, *, name: str | None = None, time_zone: str | None = None
    ) -> Plan[shapes.Company]:
        """A new company. Needs a token of the installation."""
        body = _without_none(slug=slug, name=name, time_zone=time_zone)
        return (yield from ask(_post(f"{API}/companies", body), shapes.Company))

    @operation
    def tokens(self) -> Plan[tuple[shapes.Token, ...]]:
        """The company's tokens; those of the installation when the client has no company."""
        return (yield from _all_pages(_get(self._tokens_path()), shapes.TokenPage))

    @operation
    def create_token(
        self,
        kind: str = "native",
        *,
        role: str | None = None,
        name: str | None = None,
        lasting: timedelta | None = None,
        joins: bool = False,
    ) -> Plan[shapes.CreatedToken]:
        """A new token of the company, or of the installation when the client has no company.

        Its `secret` is shown only in this answer. `lasting` None: it never expires. `joins`: workers
        that present this worker token need not be allowed by anybody.
        """
        joined = True if joins else None
        body = _without_none(kind=kind, role=role, name=name, lasting=lasting, joins=joined)
        return (yield from ask(_post(self._tokens_path(), body), shapes.CreatedToken))

    @operation
    def revoke_token(self, token_id: int) -> Plan[None]:
        """Makes a token worthless, at once."""
        yield _delete(f"{self._tokens_path()}/{token_id}")

    @operation
    def remote_control(self) -> Plan[shapes.RemoteControl]:
        """Whether programs may steer the company through the Remote API, and with which token."""
        return (yield from ask(_get(self._path("remote-control")), shapes.RemoteControl))

    @operation
    def allow_control(
        self, allow: Literal["token", "none"] = "token", *, role: str | None = None
    ) -> Plan[shapes.RemoteControl]:
        """Allows remote control with a new token, whose `secret` is in this answer alone, or not.

        The token before stops opening at once either way.
        """
        body = _without_none(allow=allow, role=role)
        request = _put(self._path("remote-control"), body)
        return (yield from ask(request, shapes.RemoteControl))

    # ------------------------------------------------------------ users

    @operation
    def users(self) -> Plan[tuple[user_shapes.User, ...]]:
        """All users. This and the rest about users needs a token of the installation."""
        return (yield from _all_pages(_get(f"{API}/users"), user_shapes.UserPage))

    @operation
    def user(self, user: Ref) -> Plan[user_shapes.User]:
        """One user by id or email."""
        return (yield from ask(_get(_user_path(user)), user_shapes.User))

    @operation
    def create_user(
        self,
        email: str,
        *,
        name: str | None = None,
        role: str | None = None,
        company: str | None = None,
        password: str | None = None,
    ) -> Plan[user_shapes.CreatedUser]:
        """A new user with a role in a company, or in all of them when `company` is None.

        Without a password the answer has a `setup_link` with which the user chooses one.
        """
        body = _without_none(email=email, name=name, role=role, company=company, password=password)
        return (yield from ask(_post(f"{API}/users", body), user_shapes.CreatedUser))

    @operation
    def change_user(
        self,
        user: Ref,
        *,
        email: str | None = None,
        name: str | None = None,
        home_company: str | None = None,
        disabled: bool | None = None,
    ) -> Plan[user_shapes.User]:
        """Changes what is given. A disabled user is signed out and cannot sign in."""
        body = _without_none(email=email, name=name, home_company=home_company, disabled=disabled)
        return (yield from ask(_patch(_user_path(user), body), user_shapes.User))

    @operation
    def remove_user(self, user: Ref) -> Plan[None]:
        """Removes a user with roles, logins and API keys; the email is free again."""
        yield _delete(_user_path(user))

    @operation
    def set_user_role(
        self, user: Ref, role: str | None, *, company: str | None = None
    ) -> Plan[user_shapes.User]:
        """Gives a role in a company, or in all when it is None; `role` None takes it away."""
        request = _put(_user_path(user, "role"), {"role": role, "company": company})
        return (yield from ask(request, user_shapes.User))

    @operation
    def set_user_password(self, user: Ref, password: str) -> Plan[None]:
        """Sets a password; every login of the user ends."""
        yield _put(_user_path(user, "password"), {"password": password})

    @operation
    def setup_link(self, user: Ref) -> Plan[user_shapes.SetupLink]:
        """A link with which a user chooses a password, once."""
        return (yield from ask(_post(_user_path(user, "setup-link")), user_shapes.SetupLink))

    @operation
    def first_setup_link(self) -> Plan[user_shapes.SetupLink]:
        """A link that makes the first administrator. Raises SetUpAlready when there is one."""
        return (yield from ask(_post(f"{API}/setup-link"), user_shapes.SetupLink))

    @operation
    def sign_user_out(self, user: Ref) -> Plan[None]:
        """Ends every login of a user."""
        yield _delete(_user_path(user, "logins"))

    @operation
    def api_keys(self, user: Ref) -> Plan[tuple[credential_shapes.ApiKey, ...]]:
        """A user's API keys, newest first."""
        path = _user_path(user, "api-keys")
        return (yield from _all_pages(_get(path), credential_shapes.ApiKeyPage))

    @operation
    def create_api_key(
        self, user: Ref, *, name: str = "", lasting: timedelta | None = None
    ) -> Plan[credential_shapes.CreatedApiKey]:
        """A key with which the user's programs log in; its `secret` is shown only now."""
        request = _post(_user_path(user, "api-keys"), {"name": name, "lasting": lasting})
        return (yield from ask(request, credential_shapes.CreatedApiKey))

    @operation
    def revoke_api_key(self, user: Ref, key: int) -> Plan[None]:
        """Makes an API key worthless, and ends what logged in with it, at once."""
        yield _delete(_user_path(user, "api-keys", str(key)))

    @operation
    def signing_keys(self) -> Plan[tuple[credential_shapes.SigningKey, ...]]:
        """The keys that tokens are signed with, newest first."""
        return (
            yield from _all_pages(_get(f"{API}/signing-keys"), credential_shapes.SigningKeyPage)
        )

    @operation
    def rotate_signing_keys(self, *, discard: bool = False) -> Plan[credential_shapes.SigningKey]:
        """Signs with a new key from now on; `discard`: what the others signed is void at once."""
        request = _post(f"{API}/signing-keys/rotate", {"discard": discard})
        return (yield from ask(request, credential_shapes.SigningKey))

    # ------------------------------------------------------------ tasks

    @operation
    def deploy(
        self,
        code: Path | Archive,
        *,
        name: str | None = None,
        take_over: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> Plan[shapes.DeployReport]:
        """Deploys a file or folder of task code as one bundle.

        `name`: of the bundle; of the file or folder unless given. `take_over`: tasks that another
        bundle owns now become this one's. `on_line` is called with what the worker does meanwhile.
        Raises CodeRefused with file, line and reason; nothing has changed then.
        """
        archive = code if isinstance(code, Archive) else pack(code)
        query = {"name": name or archive.name, "take_over": "true" if take_over else None}
        listener = _DeployListener(on_line)
        answer = yield Request(
            method="POST",
            path=self._path("bundles"),
            query=query,
            headers={"accept": EVENT_STREAM},
            body=archive.content,
            content_type=ZIP,
            patience=DEPLOY_PATIENCE,
            on_event=listener.receive,
        )
        return listener.deployment(answer)

    @operation
    def tasks(self, *, include_withdrawn: bool = False) -> Plan[tuple[shapes.Task, ...]]:
        """All tasks of the company."""
        query = {"withdrawn": "true" if include_withdrawn else None}
        return (yield from _all_pages(_get(self._path("tasks"), query), shapes.TaskPage))

    @operation
    def task(self, task: Ref) -> Plan[shapes.Task]:
        """One task with its inputs and outputs."""
        return (yield from ask(_get(self._path("tasks", task)), shapes.Task))

    @operation
    def versions(self, task: Ref) -> Plan[tuple[shapes.Version, ...]]:
        """A task's versions, newest first."""
        return (
            yield from _all_pages(_get(self._path("tasks", task, "versions")), shapes.VersionPage)
        )

    @operation
    def set_runnable(self, task: Ref, runnable: bool) -> Plan[shapes.Task]:  # noqa: FBT001 - it is the value
        """Lets a task be started, or not."""
        request = _put(self._path("tasks", task, "runnable"), {"runnable": runnable})
        return (yield from ask(request, shapes.Task))

    @operation
    def kill_task(self, task: Ref) -> Plan[shapes.KillReport]:
        """Ends all running runs of a task."""
        return (yield from ask(_post(self._path("tasks", task, "kill")), shapes.KillReport))

    @operation
    def clean_task(self, task: Ref) -> Plan[int]:
        """Cancels all queued runs of a task; how many there were."""
        return (
            yield from ask(_post(self._path("tasks", task, "clean")), shapes.CleanReport)
        ).cancelled

    # ------------------------------------------------------------ calls

    @operation
    def allocations(self) -> Plan[tuple[call_shapes.Allocation, ...]]:
        """All tasks of the company that are kept warm for calls."""
        return (yield from _all_pages(_get(self._path("allocations")), call_shapes.AllocationPage))

    @operation
    def allocation(self, task: Ref) -> Plan[call_shapes.Allocation]:
        """How a task is kept warm, and how long its calls take."""
        request = _get(self._path("tasks", task, "allocation"))
        return (yield from ask(request, call_shapes.Allocation))

    @operation
    def allocate(
        self, task: Ref, allocation: call_shapes.AllocationChange = AS_USUAL
    ) -> Plan[call_shapes.Allocation]:
        """Keeps a task warm for calls, or changes how."""
        request = _put(self._path("tasks", task, "allocation"), allocation)
        return (yield from ask(request, call_shapes.Allocation))

    @operation
    def release_allocation(self, task: Ref) -> Plan[None]:
        """Keeps a task warm no longer; calls that execute are finished."""
        yield _delete(self._path("tasks", task, "allocation"))

    @operation
    def call(
        self,
        task: Ref,
        input: Mapping[str, Any] | msgspec.Raw | None = None,  # noqa: A002 - the word of the API
        *,
        durable: bool = False,
        patience: timedelta = CALL_PATIENCE,
    ) -> Plan[Called]:
        """Executes an allocated task now and returns what became of it. Nothing is tried again.

        `durable`: the call is on disk before this returns. `patience`: how long an answer is waited
        for.
        """
        body = as_json({"input": {} if input is None else input, "durable": durable})
        path = self._path("tasks", task, "call")
        answer = yield Request(method="POST", path=path, body=body, patience=patience)
        if answer.status_code == SPILLED:
            return Called(answer=None, run=read(answer.body, shapes.StartedRun))
        return Called(answer=read(answer.body, CallAnswer), run=None)

    # ------------------------------------------------------------ runs

    @operation
    def start(  # noqa: PLR0913 - the words of one request
        self,
        task: Ref,
        input: Mapping[str, Any] | msgspec.Raw | None = None,  # noqa: A002 - the word of the API
        *,
        priority: int | None = None,
        due_at: datetime | None = None,
        parked: bool = False,
        callbacks: Iterable[str | NewCallback] = (),
        key: str | None = None,
    ) -> Plan[shapes.StartedRun]:
        """Starts one run of a task. It is on disk when this returns.

        `priority`: 1 to 99, lower first. `due_at`: not before this instant. `parked`: held until it
        is released. `callbacks`: addresses that get a signed POST when it has ended. `key`: the
        idempotency key; the same key always means the same run.
        """
        new = NewRun(
            task=str(task),
            input={} if input is None else input,
            priority=priority,
            due_at=due_at,
            parked=parked,
            callbacks=tuple(
                NewCallback(url=each) if isinstance(each, str) else each for each in callbacks
            ),
        )
        return (yield from ask(_keyed(self._path("runs"), new, key), shapes.StartedRun))

    @operation
    def start_many(
        self, runs: Iterable[NewRun], *, key: str | None = None
    ) -> Plan[tuple[shapes.StartedRun, ...]]:
        """Starts up to 1,000 runs at once: all of them or, when one is refused, none."""
        request = _keyed(self._path("runs"), {"runs": tuple(runs)}, key)
        return (yield from ask(request, shapes.StartedRuns)).runs

    @operation
    def runs(
        self,
        wanted: RunFilter | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
        values: bool = False,
    ) -> Plan[RunPage]:
        """A page of runs, newest first; `after` is the `next` of the page before.

        `values`: with their input and outputs.
        """
        query = {
            **_filters(wanted or RunFilter()),
            "limit": None if limit is None else str(limit),
            "cursor": after,
            "values": "true" if values else None,
        }
        return (yield from ask(_get(self._path("runs"), query), RunPage))

    @operation
    def run(self, run: Ref) -> Plan[Run]:
        """One run with its input, outputs, error and attempts."""
        return (yield from ask(_get(self._path("runs", run)), Run))

    @operation
    def wait(self, run: Ref, timeout: timedelta | None = None) -> Plan[Run]:
        """The run once it is final, or as it is after the timeout. None: waits for ever."""
        left = timeout
        while True:
            turn = LONGEST_WAIT if left is None else min(left, LONGEST_WAIT)
            waiting = _get(
                self._path("runs", run, "wait"), {"timeout": f"{turn.total_seconds():g}"}
            )
            patient = msgspec.structs.replace(waiting, patience=waiting.patience + turn)
            state = yield from ask(patient, Run)
            left = None if left is None else left - turn
            if state.is_final or (left is not None and not left):
                return (yield from ask(_get(self._path("runs", run)), Run))

    @operation
    def cancel(self, run: Ref) -> Plan[Run]:
        """Ends a run, whatever its state; a running one is killed."""
        return (yield from ask(_post(self._path("runs", run, "cancel")), Run))

    @operation
    def kill(self, run: Ref) -> Plan[KilledRun]:
        """Ends a running run; answered once none of its code executes any more."""
        return (yield from ask(_post(self._path("runs", run, "kill")), KilledRun))

    @operation
    def park(self, run: Ref) -> Plan[Run]:
        """Holds a run that has not begun."""
        return (yield from ask(_post(self._path("runs", run, "park")), Run))

    @operation
    def release(self, run: Ref) -> Plan[Run]:
        """Lets a parked run into the queue."""
        return (yield from ask(_post(self._path("runs", run, "release")), Run))

    @operation
    def restart(self, run: Ref, *, parked: bool = False, same_version: bool = False) -> Plan[Run]:
        """A new run with the same input, of the current version of its task or of the same one."""
        body = {"parked": parked, "same_version": same_version}
        return (yield from ask(_post(self._path("runs", run, "restart"), body), Run))

    @operation
    def history(self, run: Ref) -> Plan[shapes.RunHistory]:
        """What happened to a run, moment by moment."""
        return (yield from ask(_get(self._path("runs", run, "history")), shapes.RunHistory))

    @operation
    def explain(self, run: Ref) -> Plan[tuple[shapes.Reason, ...]]:
        """Every reason why a run does not run, and what would clear it. Empty: none."""
        return (
            yield from ask(_get(self._path("runs", run, "explain")), shapes.Explanation)
        ).reasons

    @operation
    def logs(
        self, run: Ref, *, level: str | None = None, after: int = 0, limit: int = 500
    ) -> Plan[shapes.LogPage]:
        """Lines of a run's log after the given number, of at least the given level."""
        query = {"level": level, "after": str(after), "limit": str(limit)}
        return (yield from ask(_get(self._path("runs", run, "logs"), query), shapes.LogPage))

    @operation
    def run_files(self, run: Ref) -> Plan[tuple[shapes.File, ...]]:
        """The files that a run has returned."""
        return (yield from _all_pages(_get(self._path("runs", run, "files")), shapes.FilePage))

    # ------------------------------------------------------------ files

    @operation
    def upload(
        self, source: Path | bytes, *, name: str | None = None, content_type: str | None = None
    ) -> Plan[shapes.File]:
        """Keeps a file on the server, to be given to runs as {"file": id}."""
        shown = name or (source.name if isinstance(source, Path) else "upload")
        guessed = content_type or mimetypes.guess_type(shown)[0] or "application/octet-stream"
        request = Request(
            method="POST",
            path=self._path("files"),
            query={"name": shown},
            body=source,
            content_type=guessed,
        )
        return (yield from ask(request, shapes.File))

    @operation
    def file(self, file_id: int) -> Plan[shapes.File]:
        """What is known of a file."""
        return (yield from ask(_get(self._path("files", file_id)), shapes.File))

    @operation
    def file_content(self, file_id: int) -> Plan[bytes]:
        """All bytes of a file."""
        answer = yield _get(self._path("files", file_id, "content"))
        return answer.body

    @operation
    def download(self, file_id: int, to: Path) -> Plan[Path]:
        """Writes a file's content to a path."""
        request = _get(self._path("files", file_id, "content"))
        yield msgspec.structs.replace(request, save_to=to)
        return to

    # ------------------------------------------------------------ callbacks

    @operation
    def callbacks(
        self,
        *,
        run: Ref | None = None,
        state: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Plan[shapes.CallbackPage]:
        """A page of callbacks, newest first; `after` is the `next` of the page before."""
        query = {
            "run": None if run is None else str(run),
            "state": state,
            "limit": None if limit is None else str(limit),
            "cursor": after,
        }
        return (yield from ask(_get(self._path("callbacks"), query), shapes.CallbackPage))

    @operation
    def callback(self, callback: Ref) -> Plan[shapes.Callback]:
        """One callback, by its id or public id."""
        return (yield from ask(_get(self._path("callbacks", callback)), shapes.Callback))

    @operation
    def resend_callback(self, callback: Ref) -> Plan[shapes.Callback]:
        """Sends a callback again, now."""
        request = _post(self._path("callbacks", callback, "resend"))
        return (yield from ask(request, shapes.Callback))

    @operation
    def resend_dead_callbacks(self) -> Plan[int]:
        """Sends all callbacks of the company again that were given up; how many."""
        request = _post(self._path("callbacks", "resend-dead"))
        return (yield from ask(request, shapes.Resent)).resent

    @operation
    def callback_secret(self) -> Plan[shapes.CallbackSecret]:
        """What receivers verify the company's callbacks with."""
        return (yield from ask(_get(self._path("callback-secret")), shapes.CallbackSecret))

    @operation
    def rotate_callback_secret(self) -> Plan[shapes.CallbackSecret]:
        """A new secret signs from now on, and for a day the one before as well."""
        request = _post(self._path("callback-secret", "rotate"))
        return (yield from ask(request, shapes.CallbackSecret))

    # ------------------------------------------------------------ schedules, orchestrator, rest

    @operation
    def schedules(self, *, task: Ref | None = None) -> Plan[tuple[shapes.Schedule, ...]]:
        """All schedules of the company, or of one task."""
        query = {"task": None if task is None else str(task)}
        return (yield from _all_pages(_get(self._path("schedules"), query), shapes.SchedulePage))

    @operation
    def create_schedule(self, schedule: NewSchedule) -> Plan[shapes.Schedule]:
        """A new schedule for a task."""
        return (yield from ask(_post(self._path("schedules"), schedule), shapes.Schedule))

    @operation
    def schedule(self, schedule: Ref) -> Plan[shapes.Schedule]:
        """One schedule, by id or name."""
        return (yield from ask(_get(self._path("schedules", schedule)), shapes.Schedule))

    @operation
    def enable_schedule(self, schedule: Ref, enabled: bool) -> Plan[shapes.Schedule]:  # noqa: FBT001 - it is the value
        """Lets a schedule fire, or not."""
        request = Request(
            method="PATCH",
            path=self._path("schedules", schedule),
            body=as_json({"enabled": enabled}),
            is_repeatable=True,
        )
        return (yield from ask(request, shapes.Schedule))

    @operation
    def delete_schedule(self, schedule: Ref) -> Plan[None]:
        """Ends a schedule. Runs that it has started stay."""
        yield _delete(self._path("schedules", schedule))

    @operation
    def orchestrator(self) -> Plan[shapes.Orchestrator]:
        """The company's dispatch switch, and how many runs stand where."""
        return (yield from ask(_get(self._path("orchestrator")), shapes.Orchestrator))

    @operation
    def pause(self) -> Plan[shapes.Orchestrator]:
        """Holds all queued runs of the company back. Begun ones go on."""
        return (
            yield from ask(
                _put(self._path("orchestrator"), {"runnable": False}), shapes.Orchestrator
            )
        )

    @operation
    def resume(self) -> Plan[shapes.Orchestrator]:
        """Lets queued runs of the company start again."""
        return (
            yield from ask(
                _put(self._path("orchestrator"), {"runnable": True}), shapes.Orchestrator
            )
        )

    @operation
    def workers(self) -> Plan[tuple[shapes.Worker, ...]]:
        """The workers that serve the company; all that the token sees when the client has none."""
        return (yield from _all_pages(_get(self._workers_path()), shapes.WorkerPage))

    @operation
    def worker(self, worker: Ref) -> Plan[shapes.Worker]:
        """One worker."""
        return (yield from ask(_get(self._workers_path(worker)), shapes.Worker))

    @operation
    def allow_worker(self, worker: Ref) -> Plan[shapes.Worker]:
        """Lets a worker execute runs, from now on."""
        return (yield from ask(_post(self._workers_path(worker, "allow")), shapes.Worker))

    @operation
    def lock_worker(self, worker: Ref) -> Plan[shapes.Worker]:
        """Keeps a worker out; its runs go to others."""
        return (yield from ask(_post(self._workers_path(worker, "lock")), shapes.Worker))

    @operation
    def drain_worker(self, worker: Ref) -> Plan[shapes.Worker]:
        """Gives a worker no further runs until it is allowed again."""
        return (yield from ask(_post(self._workers_path(worker, "drain")), shapes.Worker))

    @operation
    def remove_worker(self, worker: Ref) -> Plan[None]:
        """Forgets a worker."""
        yield _delete(self._workers_path(worker))

    # ------------------------------------------------------------ audit

    @operation
    def audit(
        self, *, limit: int | None = None, after: str | None = None
    ) -> Plan[audit_shapes.AuditPage]:
        """A page of the company's audit log, newest first; `after` is the `next` of the one before."""
        query = {"limit": None if limit is None else str(limit), "cursor": after}
        return (yield from ask(_get(self._path("audit"), query), audit_shapes.AuditPage))

    # ------------------------------------------------------------ systems

    @operation
    def systems(
        self, *, state: str | None = None, search: str | None = None
    ) -> Plan[tuple[system_shapes.System, ...]]:
        """The company's systems, newest first; `search` looks into what people read of them."""
        query = {"state": state, "search": search}
        request = _get(self._path("systems"), query)
        return (yield from _all_pages(request, system_shapes.SystemPage))

    @operation
    def system(self, system: Ref) -> Plan[system_shapes.System]:
        """One system, by its id or name."""
        return (yield from ask(_get(self._path("systems", system)), system_shapes.System))

    @operation
    def create_system(
        self,
        name: str,
        *,
        description: str | None = None,
        files_from: Iterable[str] = (),
        allowed: bool = False,
    ) -> Plan[system_shapes.CreatedSystem]:
        """A new system. Its `uuid` is shown only in this answer.

        `files_from`: hosts that input files of its runs may come from, beside what everybody's may.
        `allowed`: it may call at once, instead of waiting to be allowed.
        """
        body = _without_none(
            name=name, description=description, files_from=tuple(files_from), allowed=allowed
        )
        return (yield from ask(_post(self._path("systems"), body), system_shapes.CreatedSystem))

    @operation
    def change_system(
        self,
        system: Ref,
        *,
        name: str | None = None,
        description: str | None = None,
        files_from: Iterable[str] | None = None,
    ) -> Plan[system_shapes.System]:
        """Changes what is given; `files_from` takes the place of all hosts before."""
        hosts = None if files_from is None else tuple(files_from)
        body = _without_none(name=name, description=description, files_from=hosts)
        return (yield from ask(_patch(self._path("systems", system), body), system_shapes.System))

    @operation
    def allow_system(self, system: Ref) -> Plan[system_shapes.System]:
        """Lets a system call, from now on."""
        request = _post(self._path("systems", system, "allow"))
        return (yield from ask(request, system_shapes.System))

    @operation
    def lock_system(self, system: Ref) -> Plan[system_shapes.System]:
        """Keeps a system out; what it started goes on."""
        request = _post(self._path("systems", system, "lock"))
        return (yield from ask(request, system_shapes.System))

    @operation
    def renew_system(self, system: Ref) -> Plan[system_shapes.CreatedSystem]:
        """Gives a system a new `uuid`, shown only in this answer; the one before is refused."""
        request = _post(self._path("systems", system, "renew"))
        return (yield from ask(request, system_shapes.CreatedSystem))

    @operation
    def remove_system(self, system: Ref) -> Plan[None]:
        """Removes a system: its UUID is refused from now on."""
        yield _delete(self._path("systems", system))

    @operation
    def doctor(self) -> Plan[shapes.Diagnosis]:
        """Examines the installation. Needs a token of the installation."""
        return (yield from ask(_get(f"{API}/doctor"), shapes.Diagnosis))

    def _path(self, *segments: Ref) -> str:
        if self.company is None:
            raise Refused("Say which company: Client(..., company=SLUG).")
        ends = "/".join(quote(str(segment), safe="") for segment in segments)
        return f"{API}/companies/{quote(self.company, safe='')}/{ends}"

    def _workers_path(self, *segments: Ref) -> str:
        if self.company is not None:
            return self._path("workers", *segments)
        return "/".join((f"{API}/workers", *(quote(str(part), safe="") for part in segments)))

    def _tokens_path(self) -> str:
        return f"{API}/tokens" if self.company is None else self._path("tokens")


class _DeployListener:
    """Follows a deployment: lines while it lasts, then its report or why it was refused."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._last: ServerEvent | None = None

    def receive(self, event: ServerEvent) -> None:
        """Takes in one event."""
        if event.name == "line" and self._on_line is not None:
            self._on_line(read(event.data, shapes.DeployLine).text)
        elif event.name in ("report", "problem"):
            self._last = event

    def deployment(self, answer: Answer) -> shapes.DeployReport:
        """What came of it; raises what the server refused it with."""
        match self._last:
            case None if not answer.body:
                raise ServerBroken("The deploy ended without a report.")
            case None:
                return read(answer.body, shapes.DeployReport)
            case ServerEvent(name="problem", data=data):
                raise failure(400, {}, data.encode())
            case ServerEvent(data=data):
                return read(data, shapes.DeployReport)


def _get(path: str, query: Query | None = None) -> Request:
    return Request(method="GET", path=path, query=query or {}, is_repeatable=True)


def _put(path: str, body: object) -> Request:
    return Request(method="PUT", path=path, body=as_json(body), is_repeatable=True)


def _patch(path: str, body: object) -> Request:
    return Request(method="PATCH", path=path, body=as_json(body), is_repeatable=True)


def _user_path(user: Ref, *segments: str) -> str:
    return "/".join((f"{API}/users", quote(str(user), safe=""), *segments))


def _post(path: str, body: object = None) -> Request:
    return Request(method="POST", path=path, body=None if body is None else as_json(body))


def _delete(path: str) -> Request:
    return Request(method="DELETE", path=path, is_repeatable=True)


def _keyed(path: str, body: object, key: str | None) -> Request:
    """A start: with its key, asking twice does no more than asking once."""
    return Request(
        method="POST",
        path=path,
        body=as_json(body),
        headers={"idempotency-key": key or secrets.token_urlsafe(16)},
        is_repeatable=True,
    )


class _Listed(Protocol[T_co]):
    @property
    def items(self) -> tuple[T_co, ...]: ...
    @property
    def next(self) -> str | None: ...


def _all_pages(request: Request, page: type[_Listed[T]]) -> Plan[tuple[T, ...]]:
    """The items of all pages of a list."""
    items: list[T] = []
    cursor: str | None = None
    while True:
        query = {**request.query, "limit": "500", "cursor": cursor}
        part = yield from ask(msgspec.structs.replace(request, query=query), page)
        items.extend(part.items)
        cursor = part.next
        if cursor is None:
            return tuple(items)


def _without_none(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _filters(wanted: RunFilter) -> dict[str, str | list[str]]:
    fields: dict[str, Any] = msgspec.to_builtins(wanted)
    return {
        name: [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
        for name, value in fields.items()
    }
