"""One example of each shape that people send or read first; the OpenAPI document shows them."""

from collections.abc import Mapping

import msgspec

from runyard.dialects.integray import shapes

Json = dict[str, object]

_SCHEDULED = "2026-03-01T08:00:00.000Z"
_STARTED = "2026-03-01T08:00:00.240Z"
_FINISHED = "2026-03-01T08:00:03.120Z"

_TASK: Json = {
    "taskId": 12,
    "name": "Zip code",
    "group": "Bots",
    "description": "Where a US zip code lies.",
    "isActive": True,
    "isRunnable": True,
    "isExecutable": True,
    "notExecutableReasons": [],
    "priority": 50,
    "prioritySource": "Company",
    "maxInstances": 4,
    "timeoutSeconds": 30,
    "tags": [],
    "inputs": [{"name": "zip", "title": "Zip code", "type": "text", "required": True}],
    "scheduledCount": 7,
    "runningCount": 2,
    "lastTaskRunId": 9001,
    "lastStatusId": 100,
    "nextScheduled": None,
}

_RUN: Json = {
    "taskRunId": 9001,
    "taskId": 12,
    "taskName": "Zip code",
    "statusId": 200,
    "status": "Finished successfully",
    "trigger": "RemoteApi",
    "scheduled": _SCHEDULED,
    "started": _STARTED,
    "finished": _FINISHED,
    "waitTimeMs": 240,
    "execTimeMs": 2880,
    "level": 0,
    "restartedFromId": None,
}

EXAMPLES: Mapping[type[msgspec.Struct], Json] = {
    shapes.Agent: {
        "agentId": 3,
        "name": "host-17",
        "type": "Remote",
        "isActive": True,
        "state": "Online",
        "version": "0.1.0",
        "hostName": "host-17.example.com",
        "lastSeen": _FINISHED,
        "slots": 4,
        "busySlots": 1,
    },
    shapes.SetRunnable: {"isRunnable": False},
    shapes.OrchestratorStatus: {
        "companySlug": "acme",
        "isRunnable": False,
        "runningCount": 2,
        "scheduledCount": 7,
        "parkedCount": 0,
        "changedAt": _FINISHED,
        "changedBy": "remote-control token ...4f1a (remote control)",
    },
    shapes.Task: _TASK,
    shapes.StartTaskRequest: {"input": {"zip": "76131"}, "note": "nightly check"},
    shapes.TaskRunCreated: {
        "taskRunId": 9001,
        "taskId": 12,
        "statusId": 1,
        "status": "Scheduled",
        "level": 0,
        "restartedFromId": None,
    },
    shapes.AffectedRuns: {
        "taskId": 12,
        "count": 2,
        "taskRunIds": [9001, 9002],
        "unconfirmedTaskRunIds": [],
    },
    shapes.TaskRun: _RUN,
    shapes.TaskRunDetail: {
        **_RUN,
        "restartCount": 0,
        "originalTaskRunId": 9001,
        "priority": 50,
        "message": None,
        "startedBy": "remote-control token ...4f1a (remote control)",
        "history": [
            {"at": _SCHEDULED, "statusId": 1, "note": "nightly check"},
            {"at": _STARTED, "statusId": 100, "note": "attempt 1"},
            {"at": _FINISHED, "statusId": 200, "note": None},
        ],
        "steps": [
            {
                "stepId": 1,
                "name": "Zip code",
                "connector": "zip_code.zip_code",
                "agentId": 3,
                "statusId": 200,
                "attempt": 1,
                "rowsIn": None,
                "rowsOut": None,
                "started": _STARTED,
                "finished": _FINISHED,
            }
        ],
    },
    shapes.TaskRunLevel: {"taskRunId": 9001, "level": 0},
    shapes.TaskRunStatus: {
        "id": 200,
        "name": "Finished successfully",
        "group": "Finished",
        "isFinal": True,
    },
    shapes.LogRecord: {
        "id": 1,
        "date": _STARTED,
        "level": "Info",
        "message": "looking up 76131",
        "stepId": 1,
        "agentId": 3,
        "eventId": None,
        "keys": {"attempt": 1},
    },
}
