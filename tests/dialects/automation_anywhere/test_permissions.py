"""Who may do what: every operation, with every role. What is expected is written down here a second time."""

import pytest

from runyard.dialects.automation_anywhere.examples import EXAMPLES
from runyard.dialects.automation_anywhere.routes import OPERATIONS, ROUTES
from runyard.model.tokens import Permission, Role
from runyard.web.routing import Route
from tests.dialects.automation_anywhere.conftest import Room

MAY = {
    Permission.READ: set(Role),
    Permission.OPERATE: {Role.OPERATOR, Role.DEVELOPER, Role.ADMINISTRATOR},
    Permission.ADMINISTER: {Role.ADMINISTRATOR},
    Permission.INSTALL: set(),
}
EXPECTED = {
    **dict.fromkeys(
        (
            "createAllocation",
            "listAllocations",
            "showAllocation",
            "changeAllocation",
            "deleteAllocation",
            "listUsers",
            "showUser",
            "listAudit",
        ),
        Permission.ADMINISTER,
    ),
    **dict.fromkeys(
        ("getAccessDetails", "execute", "deploy", "deployV3", "manageActivity"), Permission.OPERATE
    ),
    **dict.fromkeys(
        (
            "listActivity",
            "listActivityV2",
            "showExecution",
            "listWorkspaceFiles",
            "listFiles",
            "listFolder",
            "showFile",
            "showFileContent",
            "showInterface",
            "listDevices",
            "listRunAsUsers",
            "listPools",
        ),
        Permission.READ,
    ),
    "createUser": Permission.INSTALL,
}
GUARDED = [route for route in OPERATIONS if route.permission is not Permission.PUBLIC]


def test_every_operation_has_the_permission_that_is_written_down() -> None:
    assert {route.name: route.permission for route in GUARDED} == EXPECTED
    public = {route.name for route in ROUTES if route.permission is Permission.PUBLIC}
    assert public == {
        *(f"{name}{version}" for name in _TOKENS for version in ("", "V1")),
        "getApiTaskDocument",
    }


_TOKENS = ("authenticate", "refreshToken", "validateToken", "logOut")


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_each_role_may_do_what_it_should(room: Room, route: Route) -> None:
    """Nothing that is named exists, so what is let in ends in another way than 403."""
    path = route.path.format(
        fileId="999999999",
        folder="999",
        workspace="none",
        execution="none",
        userId="999999999",
        botId="999999999",
        tenant=room.company.uuid,
    )
    body = EXAMPLES.get(route.body) if route.body is not None else None
    if route.name == "createAllocation":
        body = {"fileId": "999999999"}

    for role, token in room.secrets.items():
        answer = await room.send(route.method, path, body, token)
        assert (answer.status_code != 403) == (role in MAY[route.permission]), (role, answer.text)
    nobody = await room.send(route.method, path, body, "")
    assert nobody.status_code == 401
    assert nobody.json()["code"] == "UM1117"
