"""One example of each shape that people send or read first; the OpenAPI document shows them."""

from collections.abc import Mapping

import msgspec

from runyard.protocol import shapes, user_shapes

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

EXAMPLES: Mapping[type[msgspec.Struct], Json] = {
    shapes.NewCompany: {"slug": "acme", "name": "Acme", "time_zone": "Europe/Prague"},
    shapes.CompanyChange: {"retention": "P30D", "weight": 2},
    shapes.NewToken: {"kind": "native", "role": "operator", "name": "ci", "lasting": "P90D"},
    user_shapes.NewUser: {
        "email": "ann@example.com",
        "name": "Ann",
        "role": "operator",
        "company": "acme",
    },
    user_shapes.UserChange: {"name": "Ann Author"},
    user_shapes.RoleChange: {"company": "acme", "role": "developer"},
    user_shapes.NewPassword: {"password": "correct horse battery"},
    shapes.Runnable: {"runnable": False},
    shapes.NewRun: {"task": "Zip code", "input": {"zip": "76131"}, "priority": 20},
    shapes.NewRuns: {
        "runs": [
            {"task": "Zip code", "input": {"zip": "76131"}},
            {"task": "Zip code", "input": {"zip": "10001"}},
        ]
    },
    shapes.StartedRun: {"id": 1041, "public_id": "AZUPo1sAfEqLz0s9fWmQ3g", "state": "queued"},
    shapes.Run: _RUN,
    shapes.Task: _TASK,
    shapes.Restart: {"parked": False, "same_version": False},
    shapes.NewSchedule: {
        "name": "every morning",
        "task": "Zip code",
        "cron": "0 8 * * 1-5",
        "time_zone": "Europe/Prague",
        "input": {"zip": "76131"},
    },
    shapes.ScheduleChange: {"enabled": False},
}
