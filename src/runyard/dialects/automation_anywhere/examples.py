"""One example of each shape that people send or read first; the OpenAPI document shows them."""

from collections.abc import Mapping

import msgspec

from runyard.dialects.automation_anywhere import shapes

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
}
