"""One example of each shape that people send or read first; the OpenAPI document shows them."""

from collections.abc import Mapping

import msgspec

from runyard.dialects.automation_anywhere import rows, shapes

Json = dict[str, object]

_TOKEN = "eyJhbGciOiJSUzUxMiIsImtpZCI6ImYzYTkxYzIwYjdkODRlNjUifQ.eyJzdWIiOiI0MSJ9.c2lnbmF0dXJl"
_COMPANY = "0198c1f0-5b8e-7d1a-9a39-6f0c2d4be7a1"
_PATH = "Automation Anywhere\\Bots\\Zip Code API Task"
_PAGE: Json = {"offset": 0, "total": 1, "totalFilter": 1}
_LIST: Json = {"filter": None, "sort": None, "page": {"offset": 0, "length": 100}}
_ALLOCATION: Json = {"fileId": "12", "runAsUserOrNone": 0, "concurrencyLimit": 2}
_ROW: Json = {
    "fileId": "12",
    "filePath": _PATH,
    "fileName": "Zip Code API Task",
    "runAsUserOrNone": "0",
    "concurrencyLimit": 2,
}
_USER: Json = {
    "id": 41,
    "username": "ann@example.com",
    "domain": "",
    "email": "ann@example.com",
    "firstName": "Ann",
    "lastName": "Author",
    "roles": [{"id": 3, "name": "AAE_Bot Developer"}],
    "sysAssignedRoles": [],
    "groupNames": [],
    "permissions": [
        {"id": 1, "action": "view", "resourceType": "repositorymanager", "resourceId": None}
    ],
    "licenseFeatures": [],
    "multipleLoginAllowed": True,
    "tenantUuid": _COMPANY,
}

_DEPLOYMENT = "0199a7f2-3c1e-7b52-8d4a-2f6f1e0c9b11"
_INPUT: Json = {"iStrZipCode": {"type": "STRING", "string": "76131"}}
_TEXAS: Json = {
    "State": {"type": "STRING", "string": "Texas"},
    "Place": {"type": "STRING", "string": "Fort Worth"},
}
_ACTIVITY: Json = {
    "id": f"{_DEPLOYMENT}_0000000000002329",
    "automationName": "Zip Code API Task.26.03.01.08.00.00.ann@example.com",
    "fileName": "Zip Code API Task",
    "filePath": _PATH,
    "botName": "Zip Code API Task",
    "type": "RUN_NOW",
    "startDateTime": "2026-03-01T08:00:00.240000Z",
    "endDateTime": "2026-03-01T08:00:03.120000Z",
    "startedOn": "2026-03-01T08:00:00.240000Z",
    "completedOn": "2026-03-01T08:00:03.120000Z",
    "command": "",
    "status": "COMPLETED",
    "progress": 100,
    "automationId": "12",
    "userId": "41",
    "deviceId": "3",
    "currentLine": 0,
    "totalLines": 0,
    "fileId": "12",
    "createdBy": "ann@example.com",
    "createdOn": "2026-03-01T08:00:00.000000Z",
    "modifiedBy": "ann@example.com",
    "modifiedOn": "2026-03-01T08:00:03.120000Z",
    "deploymentId": _DEPLOYMENT,
    "queueName": "",
    "queueId": "",
    "usingRdp": False,
    "message": "",
    "canManage": False,
    "deviceName": "",
    "userName": "ann@example.com",
    "tenantUuid": _COMPANY,
    "automationPriority": "PRIORITY_MEDIUM",
    "runElevated": False,
    "botLabel": "",
    "currentBotName": "Zip Code API Task",
    "callbackInfo": "",
    "parentId": "",
    "initiationType": "API",
    "activityType": "BOT",
    "refId": "",
}
_FILE: Json = {
    "id": "12",
    "parentId": "2",
    "name": "Zip Code API Task",
    "path": _PATH,
    "type": "application/vnd.aa.headlessbot",
    "folder": False,
    "directory": False,
    "size": "0",
    "version": "1",
    "workspaceType": "PUBLIC",
    "botStatus": "PUBLIC",
    "locked": False,
    "lockedBy": "0",
    "lastModified": "2026-03-01T08:00:00.000000Z",
    "lastModifiedBy": "0",
    "createdBy": "0",
    "description": "Where a US zip code lies.",
    "tags": [],
    "permission": {"run": True, "view": True},
    "hasErrors": False,
    "isEdited": False,
    "uuid": "0198c1f2-77aa-7c30-8f5e-1f0a9d2b4c33",
}
_DEVICE: Json = {
    "id": "3",
    "hostName": "host-17",
    "type": "MULTIPLE_USERS",
    "status": "CONNECTED",
    "nickname": "host-17",
    "botAgentVersion": "0.1.0",
    "poolName": "All workers",
    "defaultUsers": [{"id": "0", "username": "apitaskrunner", "domain": ""}],
    "lifespan": "PERSISTENT",
    "installationType": "LOCAL",
    "hostType": "SERVER",
    "deploymentType": "CUSTOMER",
}
_RUN_AS: Json = {"id": "0", "username": "apitaskrunner"}
_AUDIT: Json = {
    "id": "9001",
    "activityType": "CREATE_ALLOCATION",
    "eventDescription": f"ann@example.com createAllocation {_PATH}",
    "environmentName": "Runyard",
    "hostName": "10.1.0.7",
    "userName": "ann@example.com",
    "status": "Successful",
    "source": "PUT /orchestrator/v1/hotbot/config/create",
    "objectName": _PATH,
    "detail": "",
    "createdOn": "2026-03-01T08:00:00.000000Z",
    "createdBy": "41",
}
_POOL: Json = {"id": "1", "name": "All workers", "status": "CONNECTED", "deviceCount": "1"}
_USER_ROW: Json = {
    "id": "41",
    "username": "ann@example.com",
    "email": "ann@example.com",
    "domain": "",
    "firstName": "Ann",
    "lastName": "Author",
    "roles": [{"id": 3, "name": "AAE_Bot Developer"}],
    "licenseFeatures": [],
    "multipleLoginAllowed": True,
    "disabled": False,
    "createdOn": "2026-03-01T08:00:00.000000Z",
}


def _listed(row: Json) -> Json:
    return {"page": _PAGE, "list": [row]}


EXAMPLES: Mapping[type[msgspec.Struct], Json] = {
    shapes.Credentials: {"username": "ann@example.com", "password": "correct horse battery"},
    shapes.TokenBody: {"token": _TOKEN},
    shapes.Session: {"token": _TOKEN, "user": _USER},
    shapes.Validity: {"valid": True},
    shapes.NewAllocation: {"fileId": "12", "concurrencyLimit": 2},
    shapes.AllocationChange: {"concurrencyLimit": 4},
    shapes.Allocation: _ALLOCATION,
    shapes.ListRequest: _LIST,
    shapes.AllocationRow: _ROW,
    shapes.AllocationList: {"list": [_ROW], "page": _PAGE},
    shapes.AccessRequest: {"botRepositoryPath": [_PATH]},
    shapes.AccessList: {
        "accessDetails": {
            _PATH: {
                "url": f"http://127.0.0.1:7070/hotbot/12/{_COMPANY}/execute",
                "headers": {"X-Authorization": _TOKEN},
            }
        },
        "errors": {},
    },
    shapes.Execution: {"botInput": {"iStrZipCode": {"type": "STRING", "string": "76131"}}},
    shapes.ExecutionResult: {
        "hotBotResult": {
            "botOutput": {
                "State": {"type": "STRING", "string": "Texas"},
                "Place": {"type": "STRING", "string": "Fort Worth"},
            }
        }
    },
    rows.Deployment: {"botId": 12, "headlessRequest": {}, "botInput": _INPUT},
    rows.DeploymentV3: {"fileId": 12, "runAsUserIds": [41], "botInput": _INPUT},
    rows.Deployed: {
        "deploymentId": _DEPLOYMENT,
        "automationName": "Zip Code API Task.26.03.01.08.00.00.ann@example.com",
    },
    rows.Activity: _ACTIVITY,
    rows.ActivityList: _listed(_ACTIVITY),
    rows.ActivityWithOutputs: {**_ACTIVITY, "botOutVariables": {"values": _TEXAS}},
    rows.ActivityListV2: _listed({**_ACTIVITY, "botOutVariables": {"values": _TEXAS}}),
    rows.ActivityDetail: {**_ACTIVITY, "botOutVariables": {"values": _TEXAS}, "error": None},
    rows.Managing: {"stopExecutions": {"executionIds": [_DEPLOYMENT]}},
    rows.Managed: {"requestsSentToDevice": [_DEPLOYMENT], "manageActionErrors": []},
    rows.RepositoryItem: _FILE,
    rows.RepositoryList: _listed(_FILE),
    rows.Content: {
        "commands": [
            {"command": "log.info", "line": 14},
            {"command": "if", "line": 15},
            {"command": "return", "line": 16},
        ]
    },
    rows.Interface: {
        "variables": [
            {
                "name": "iStrZipCode",
                "input": True,
                "output": False,
                "type": "STRING",
                "description": "Five digits, such as 76131",
                "defaultValue": None,
            }
        ]
    },
    rows.AuditMessage: _AUDIT,
    rows.AuditList: _listed(_AUDIT),
    rows.Device: _DEVICE,
    rows.DeviceList: _listed(_DEVICE),
    rows.RunAsUser: _RUN_AS,
    rows.RunAsUserList: _listed(_RUN_AS),
    rows.Pool: _POOL,
    rows.PoolList: _listed(_POOL),
    rows.UserRow: _USER_ROW,
    rows.UserList: _listed(_USER_ROW),
    rows.NewUser: {"username": "bob@example.com", "roleIds": [3]},
}
