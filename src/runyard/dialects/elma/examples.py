"""One example of each shape that people send or read first; the OpenAPI document shows them."""

from collections.abc import Mapping

import msgspec

from runyard.dialects.elma import shapes

Json = dict[str, object]

SYSTEM = "0d6c1f0e-1f5b-4b0e-9a53-8e6a2f6f7c11"
PROCESS = "7b0a9f6e-2c1d-4f0a-8d3e-51b2c3d4e5f6"
_GROUP = "5a1c3e7f-9b2d-5c6e-8f10-2233445566aa"
_CREATED = "2031-04-20T08:15:30Z"
_ENDED = "2031-04-20T08:15:44Z"
_LOG = (
    "[INF] 2031/04/20 08:15:41 | [Worker.Run] | Process 'Order intake' started: version 4, attempt 1\n"
    "[INF] 2031/04/20 08:15:43 | [Worker.Task] | 3 pages read\n"
    "[INF] 2031/04/20 08:15:44 | [Worker.Run] | Process 'Order intake' finished\n"
)

EXAMPLES: Mapping[type[msgspec.Struct], Json] = {
    shapes.CreateTask: {
        "auth_tkn": SYSTEM,
        "task": {
            "process": PROCESS,
            "version": 0,
            "ctx": '{"StringParam_in":"String value","DateTimeParam_in":"2031-05-01T00:00:00Z",'
            '"BoolParam_in":true,"DoubleParam_in":12.2,"IntParam_in":76}',
            "priority": "HIGH",
        },
    },
    shapes.AboutTask: {"auth_tkn": SYSTEM, "id": 41},
    shapes.FileOfTask: {"auth_tkn": SYSTEM, "taskid": 41, "filename": "receipt.txt"},
    shapes.Part: {"auth_tkn": SYSTEM, "page": 0, "limit": 0},
    shapes.PartOfHistory: {"auth_tkn": SYSTEM, "page": 0, "limit": 0, "token": PROCESS},
    shapes.TaskAnswer: {
        "status": 200,
        "task": {
            "id": 41,
            "process": PROCESS,
            "ctx": "b7f5b9d2-4f0c-5a31-b1a7-0a4f9d8c7e60",
            "system": SYSTEM,
            "priority": "HIGH",
            "groups": [_GROUP],
            "status": "DONE",
            "bot": "c2d4e6f8-0a1b-5c3d-9e5f-66778899aabb",
            "outputCtx": '{"receipt":"receipt.txt","total":12.5,"note":null}',
            "log": _LOG,
            "metrics": {"startTime": "2031-04-20T08:15:41Z", "endTime": _ENDED},
            "created": _CREATED,
            "updated": _ENDED,
        },
    },
    shapes.ProcessList: {
        "status": 200,
        "total": 1,
        "process": [
            {
                "uuid": "e0b1c2d3-1111-5222-8333-444455556666",
                "token": PROCESS,
                "version": 4,
                "active": True,
                "name": "Order intake",
                "hash": "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233a",
                "created": "2031-01-05T09:00:00Z",
                "uploaded": "2031-01-06T10:30:00Z",
                "useruuid": "99aa88bb-77cc-56dd-95ee-44ff33aa22bb",
                "fullname": "grace@example.com",
                "groups": [_GROUP],
            }
        ],
    },
}
