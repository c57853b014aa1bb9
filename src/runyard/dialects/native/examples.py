"""One example of each shape that stands in a body or an answer, and of each refusal.

The OpenAPI document shows them. They are one little world: the same company, task and run appear
in all of them.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from runyard.model import errors
from runyard.protocol.shapes import audit as audit_shapes
from runyard.protocol.shapes import bundles as bundle_shapes
from runyard.protocol.shapes import callbacks as callback_shapes
from runyard.protocol.shapes import calls as call_shapes
from runyard.protocol.shapes import companies as company_shapes
from runyard.protocol.shapes import credentials as credential_shapes
from runyard.protocol.shapes import files as file_shapes
from runyard.protocol.shapes import installation as installation_shapes
from runyard.protocol.shapes import logs as log_shapes
from runyard.protocol.shapes import runs as run_shapes
from runyard.protocol.shapes import schedules as schedule_shapes
from runyard.protocol.shapes import systems as system_shapes
from runyard.protocol.shapes import tasks as task_shapes
from runyard.protocol.shapes import tokens as token_shapes
from runyard.protocol.shapes import users as user_shapes
from runyard.protocol.shapes import workers as worker_shapes
from runyard.web.errors import MediaTypeRefused
from runyard.web.openapi import Refusal
from runyard.web.problems import problem_from, unexpected_problem
from runyard.web.requests import SEND_JSON

Json = dict[str, object]

_AT = "2026-03-01T08:00:00Z"

_TASK: Json = {
    "id": 12,
    "uuid": "018f6b2e-7c3a-7b1e-9d7a-2f1f5f0c9a11",
    "public_id": "AY9rLnw6ex6deiS_XwyaEQ",
    "path": "Bots/Zip code",
    "name": "Zip code",
    "key": "Zip code",
    "description": "Where a US zip code lies.",
    "version": 3,
    "bundle": "examples",
    "runnable": True,
    "withdrawn": False,
    "inputs": [
        {"name": "zip", "title": "Zip code", "help": "", "type": {"type": "text"}, "required": True}
    ],
    "outputs": [
        {"name": "state", "title": "state", "help": "", "type": {"type": "text"}, "required": True},
        {"name": "place", "title": "place", "help": "", "type": {"type": "text"}, "required": True},
    ],
    "policies": {
        "timeout": "PT30S",
        "retry": {"retries": 2, "delay": "PT1S", "factor": 2.0, "cap": "PT600S", "jitter": 0.2},
        "concurrency": 4,
        "priority": None,
        "labels": [],
        "retention": None,
    },
    "requirements": ["zipcodes"],
    "created_at": _AT,
}

_RUN: Json = {
    "id": 1041,
    "public_id": "AZUPo1sAfEqLz0s9fWmQ3g",
    "task": {"id": 12, "name": "Zip code"},
    "version": 3,
    "state": "completed",
    "cause": "returned",
    "priority": 50,
    "level": 0,
    "restarted_from": None,
    "trigger": "api",
    "schedule_id": None,
    "started_by": "native token ...Wm9Q (nightly)",
    "created_at": _AT,
    "due_at": None,
    "queued_at": _AT,
    "started_at": "2026-03-01T08:00:00.002Z",
    "finished_at": "2026-03-01T08:00:00.031Z",
    "attempt": 1,
    "worker_id": 2,
    "progress": None,
    "logged_errors": 0,
    "input": {"zip": "76131"},
    "outputs": {"state": "Texas", "place": "Fort Worth"},
    "error": None,
    "attempts": [
        {
            "number": 1,
            "worker_id": 2,
            "begun_at": "2026-03-01T08:00:00.002Z",
            "finished_at": "2026-03-01T08:00:00.031Z",
            "outcome": "returned",
            "error": None,
        }
    ],
}

_DETAILS = ("input", "outputs", "error", "attempts")
"""What a list of runs leaves out."""

_COMPANY: Json = {
    "id": 1,
    "uuid": "018f6b2e-7c3a-7b1e-9d7a-2f1f5f0c9a01",
    "slug": "acme",
    "name": "Acme",
    "time_zone": "Europe/Prague",
    "runnable": True,
    "default_priority": 50,
    "retention": "P30D",
    "queue_cap": 1000000,
    "weight": 1,
    "created_at": _AT,
}

_TOKEN: Json = {
    "id": 3,
    "kind": "native",
    "company": "acme",
    "role": "operator",
    "name": "ci",
    "last_characters": "jrx6",
    "joins": False,
    "created_at": _AT,
    "expires_at": "2026-05-30T08:00:00Z",
    "revoked_at": None,
    "last_used_at": "2026-03-01T09:12:00Z",
}

_REMOTE_TOKEN: Json = {
    **_TOKEN,
    "id": 4,
    "kind": "remote-control",
    "name": "remote control",
    "expires_at": None,
    "last_used_at": None,
}

_USER: Json = {
    "id": 6,
    "email": "ann@example.com",
    "name": "Ann",
    "home_company": "acme",
    "roles": [{"company": "acme", "role": "operator"}],
    "has_password": False,
    "disabled_at": None,
    "created_at": _AT,
}

_SETUP_LINK: Json = {
    "url": "https://runyard.example/console/setup/<43 letters and digits>",
    "expires_at": "2026-03-04T08:00:00Z",
}

_VERSION: Json = {
    "id": 31,
    "number": 3,
    "bundle_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    **{name: _TASK[name] for name in ("inputs", "outputs", "policies", "requirements")},
    "created_at": _AT,
    "deployed_by": "native token ...4f1a (ci)",
}

_STARTED: Json = {"id": 1041, "public_id": "AZUPo1sAfEqLz0s9fWmQ3g", "state": "queued"}

_FILE: Json = {
    "id": 17,
    "run_id": 1041,
    "name": "report.csv",
    "content_type": "text/csv",
    "size": 48213,
    "digest": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "created_at": _AT,
}

_SCHEDULE: Json = {
    "id": 5,
    "name": "every morning",
    "task": {"id": 12, "name": "Zip code"},
    "kind": "cron",
    "cron": "0 8 * * 1-5",
    "time_zone": "Europe/Prague",
    "interval": None,
    "input": {"zip": "76131"},
    "priority": None,
    "enabled": True,
    "next_fire_at": "2026-03-02T07:00:00Z",
    "last_fire_at": None,
    "created_at": _AT,
    "upcoming": ["2026-03-02T07:00:00Z", "2026-03-03T07:00:00Z"],
}

_WORKER: Json = {
    "id": 2,
    "company": None,
    "name": "yard-1",
    "state": "allowed",
    "online": True,
    "busy": 1,
    "slots": 4,
    "labels": ["linux"],
    "version": "0.1.0",
    "host": "yard-1",
    "os": "Linux 6.1",
    "address": "10.0.0.7",
    "isolation": "own user, Landlock",
    "draining": False,
    "created_at": _AT,
    "last_seen_at": "2026-03-01T09:12:00Z",
}


_CALLBACK: Json = {
    "id": 9,
    "public_id": "msg_AZUPo1sAfEqLz0s9fWmQ3g",
    "run_id": 1041,
    "url": "https://shop.example.com/hooks/runyard",
    "state": "delivered",
    "tries": 1,
    "due_at": None,
    "answered": 204,
    "detail": "",
    "created_at": _AT,
    "ended_at": "2026-03-01T08:00:00.093Z",
}


def _page(item: Json) -> Json:
    return {"items": [item], "next": None, "total": 1, "total_is_exact": True}


_API_KEY: Json = {
    "id": 31,
    "name": "ticket system",
    "last_characters": "9c7q",
    "created_at": "2026-03-01T08:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}
_SIGNING_KEY: Json = {
    "id": "f3a91c20b7d84e65",
    "created_at": "2026-03-01T08:00:00Z",
    "retired_at": None,
}

EXAMPLES: dict[type[msgspec.Struct], Json] = {
    company_shapes.NewCompany: {"slug": "acme", "name": "Acme", "time_zone": "Europe/Prague"},
    company_shapes.CompanyChange: {"retention": "P30D", "weight": 2},
    token_shapes.NewToken: {"kind": "native", "role": "operator", "name": "ci", "lasting": "P90D"},
    user_shapes.NewUser: {
        "email": "ann@example.com",
        "name": "Ann",
        "role": "operator",
        "company": "acme",
    },
    user_shapes.UserChange: {"name": "Ann Author"},
    user_shapes.RoleChange: {"company": "acme", "role": "developer"},
    credential_shapes.NewApiKey: {"name": "ticket system", "lasting": "P90D"},
    credential_shapes.ApiKey: _API_KEY,
    credential_shapes.ApiKeyPage: _page(_API_KEY),
    credential_shapes.CreatedApiKey: {
        **_API_KEY,
        "secret": "ryd_apikey_NjQgYnl0ZXMgb2YgcmFuZG9tbmVzcyBpbiBiYXNlNjQ0eX9c7q",
    },
    credential_shapes.SigningKey: _SIGNING_KEY,
    credential_shapes.SigningKeyPage: _page(_SIGNING_KEY),
    credential_shapes.Rotation: {"discard": False},
    user_shapes.NewPassword: {"password": "correct horse battery"},
    task_shapes.Runnable: {"runnable": False},
    run_shapes.NewRun: {
        "task": "Zip code",
        "input": {"zip": "76131"},
        "priority": 20,
        "callbacks": [{"url": "https://shop.example.com/hooks/runyard"}],
    },
    run_shapes.NewRuns: {
        "runs": [
            {"task": "Zip code", "input": {"zip": "76131"}},
            {"task": "Zip code", "input": {"zip": "10001"}},
        ]
    },
    run_shapes.StartedRun: _STARTED,
    run_shapes.Run: _RUN,
    task_shapes.Task: _TASK,
    run_shapes.Restart: {"parked": False, "same_version": False},
    schedule_shapes.NewSchedule: {
        "name": "every morning",
        "task": "Zip code",
        "cron": "0 8 * * 1-5",
        "time_zone": "Europe/Prague",
        "input": {"zip": "76131"},
    },
    schedule_shapes.ScheduleChange: {"enabled": False},
    company_shapes.Company: _COMPANY,
    user_shapes.User: _USER,
    user_shapes.UserPage: _page(_USER),
    user_shapes.CreatedUser: {**_USER, "setup_link": _SETUP_LINK},
    user_shapes.SetupLink: _SETUP_LINK,
    company_shapes.CompanyPage: _page(_COMPANY),
    token_shapes.Token: _TOKEN,
    token_shapes.TokenPage: _page(_TOKEN),
    token_shapes.CreatedToken: {**_TOKEN, "secret": "ryd_native_<60 letters and digits>jrx6"},
    token_shapes.AllowControl: {"allow": "token"},
    token_shapes.RemoteControl: {
        "allowed": True,
        "token": _REMOTE_TOKEN,
        "url": "https://runyard.example/api/remote/acme",
        "secret": "ryd_remote_<60 letters and digits>jrx6",
    },
    company_shapes.Orchestrator: {
        "runnable": True,
        "queued": 12,
        "running": 4,
        "scheduled": 2,
        "parked": 0,
        "waiting": 0,
        "changed_at": _AT,
        "changed_by": "native token ...jrx6",
    },
    task_shapes.TaskPage: _page(_TASK),
    task_shapes.Version: _VERSION,
    task_shapes.VersionPage: _page(_VERSION),
    task_shapes.KillReport: {"killed": [1041, 1042], "unconfirmed": [], "confirmed": True},
    task_shapes.CleanReport: {"cancelled": 12},
    bundle_shapes.DeployReport: {
        "bundle": "examples",
        "bundle_digest": _VERSION["bundle_digest"],
        "tasks": [{"change": "changed", "task": _TASK}],
    },
    run_shapes.StartedRuns: {"runs": [_STARTED, {**_STARTED, "id": 1042}]},
    run_shapes.RunPage: _page({name: _RUN[name] for name in _RUN if name not in _DETAILS}),
    run_shapes.RunHistory: {
        "moments": [
            {"at": at, "state": state, "cause": cause, "attempt": attempt, "note": None}
            for at, state, cause, attempt in (
                (_AT, "queued", None, 0),
                ("2026-03-01T08:00:00.002Z", "running", None, 1),
                ("2026-03-01T08:00:00.031Z", "completed", "returned", 1),
            )
        ],
        "restarts": 0,
        "origin": 1041,
    },
    run_shapes.KilledRun: {
        "confirmed": True,
        "run": {
            **{name: _RUN[name] for name in _RUN if name not in _DETAILS},
            "state": "cancelled",
            "cause": "killed_outside",
        },
    },
    log_shapes.LogPage: {
        "lines": [
            {"number": 1, "at": _AT, "level": "info", "text": "Fort Worth, Texas", "attempt": 1}
        ],
        "next_after": 1,
        "dropped": 0,
    },
    run_shapes.Explanation: {
        "run_id": 1041,
        "state": "queued",
        "reasons": [
            {
                "code": "paused",
                "text": "the company acme is paused",
                "action": "runyard orchestrator resume --company acme",
                "run_ids": [],
            }
        ],
    },
    callback_shapes.Callback: _CALLBACK,
    callback_shapes.CallbackPage: _page(_CALLBACK),
    callback_shapes.Resent: {"resent": 3},
    callback_shapes.CallbackSecret: {
        "secret": "whsec_<44 letters and digits>",
        "previous": None,
        "previous_until": None,
    },
    file_shapes.File: _FILE,
    file_shapes.FilePage: _page(_FILE),
    schedule_shapes.Schedule: _SCHEDULE,
    schedule_shapes.SchedulePage: _page(
        {name: value for name, value in _SCHEDULE.items() if name != "upcoming"}
    ),
    worker_shapes.Worker: _WORKER,
    worker_shapes.WorkerPage: _page(_WORKER),
    installation_shapes.Diagnosis: {
        "ok": True,
        "checks": [{"name": "store", "ok": True, "detail": "answers within 1 ms"}],
    },
}


_ALLOCATION: Json = {
    "id": 31,
    "task": {"id": 12, "name": "Zip code"},
    "limit": 4,
    "overflow": "wait",
    "wait": "PT0.5S",
    "deadline": "PT60S",
    "recording": "all",
    "retention": "P1D",
    "created_at": _AT,
    "server": "yard.example.org:7070",
    "version": 3,
    "children": 4,
    "in_flight": 1,
    "waiting": 0,
    "memory": 62914560,
    "calls": 1204,
    "p50": "PT0.001S",
    "p99": "PT0.003S",
    "latencies": [{"up_to": "PT0.001S", "count": 1100}, {"up_to": "PT0.003S", "count": 104}],
    "error": None,
}

EXAMPLES |= {
    call_shapes.AllocationChange: {"limit": 4, "overflow": "wait", "wait": "PT0.5S"},
    call_shapes.Allocation: _ALLOCATION,
    call_shapes.AllocationPage: _page(_ALLOCATION),
    call_shapes.NewCall: {"input": {"zip": "76131"}},
    call_shapes.CallAnswer: {
        "id": 1042,
        "public_id": "AZUPo1sAfEqLz0s9fWmQ3h",
        "state": "completed",
        "cause": "returned",
        "outputs": {"state": "Texas", "place": "Fort Worth"},
        "error": None,
        "version": 3,
        "duration": "PT0.0004S",
    },
}

_AUDIT: Json = {
    "id": 9001,
    "at": "2026-03-01T08:00:00Z",
    "actor": "ann@example.com",
    "action": "allow_system",
    "subject": "Finance",
    "succeeded": True,
    "detail": "",
    "source": "POST /runyard/v1/companies/acme/systems/Finance/allow",
    "address": "10.1.0.7",
}
_BREAK: Json = {"place": 1204, "entry": 9001, "detail": "it is not what was written"}
_SYSTEM: Json = {
    "id": 37,
    "name": "Finance",
    "description": "The process suite that books invoices",
    "state": "allowed",
    "last_characters": "7c11",
    "files_from": ["bpm.example.org", "10.1.0.0/16:443"],
    "address": "192.0.2.17",
    "created_at": _AT,
    "updated_at": "2026-03-01T08:10:00Z",
    "updated_by": "ann@example.com",
    "last_seen_at": "2026-03-01T09:12:00Z",
}
_CREATED_SYSTEM: Json = {**_SYSTEM, "uuid": "0d6c1f0e-1f5b-4b0e-9a53-8e6a2f6f7c11"}

EXAMPLES |= {
    audit_shapes.AuditEntry: _AUDIT,
    audit_shapes.AuditPage: _page(_AUDIT),
    audit_shapes.AuditBreak: _BREAK,
    audit_shapes.AuditVerification: {
        "ok": False,
        "entries": 1203,
        "first": 1,
        "end": "1203:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "broken": _BREAK,
    },
    system_shapes.NewSystem: {
        "name": "Finance",
        "description": "The process suite that books invoices",
        "files_from": ["bpm.example.org", "10.1.0.0/16:443"],
        "allowed": True,
    },
    system_shapes.SystemChange: {"description": "Books invoices and reminders"},
    system_shapes.System: _SYSTEM,
    system_shapes.SystemPage: _page(_SYSTEM),
    system_shapes.CreatedSystem: _CREATED_SYSTEM,
}


def _refusal(meaning: str, error: errors.RunyardError) -> Refusal:
    return Refusal(meaning=meaning, example=msgspec.to_builtins(problem_from(error)))


REFUSALS: Mapping[int, Refusal] = {
    400: _refusal(
        "Something in the request is wrong. `problems` names each field at fault.",
        errors.InputRefused(
            [
                errors.FieldProblem(
                    field="priority", seen="120", allowed="a whole number from 1 to 99"
                )
            ]
        ),
    ),
    401: _refusal(
        "No valid token came with the request.",
        errors.Unauthenticated("send Authorization: Bearer <token>"),
    ),
    403: _refusal(
        "The token is valid, but does not allow this.",
        errors.Forbidden("this takes the role operator; yours is viewer"),
    ),
    404: _refusal(
        "There is no such thing, or it is another company's: nobody is told which.",
        errors.RunNotFound(),
    ),
    409: _refusal(
        "It exists, but not in a state that allows this.",
        errors.TaskNotRunnable("the task Zip code is not runnable"),
    ),
    413: _refusal("The body is larger than allowed.", errors.TooLarge("at most 1048576 bytes")),
    415: _refusal("A body of this content type is not read here.", MediaTypeRefused(SEND_JSON)),
    429: _refusal(
        "The company has as many queued runs as it may. `Retry-After` says when to try again.",
        errors.QueueFull("the company's queue is full: 1000000 runs"),
    ),
    503: _refusal(
        "Not now: more is being written than the disk takes, the database is away, or the server "
        "is stopping. `Retry-After` says when to try again.",
        errors.Overloaded(retry_after=timedelta(seconds=1)),
    ),
}

FAILURE = Refusal(
    meaning="Something failed that must not; the server's log has the details.",
    example=msgspec.to_builtins(unexpected_problem("018f6b2e7c3a7b1e9d7a2f1f5f0c9a99")),
)
