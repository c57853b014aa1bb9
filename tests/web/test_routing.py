"""Which route of a door a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.tokens import Permission
from runyard.web.errors import MethodNotAllowed, RouteNotFound
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import MOST_REMEMBERED, Route, Router


async def endpoint(request: Request) -> Response:
    """Answer nothing."""
    return Response()


def a_route(method: str, path: str) -> Route:
    return Route(method=method, path=path, permission=Permission.READ, endpoint=endpoint, tag="t")


ROUTER = Router(
    "/v1",
    [
        a_route("GET", "/tasks"),
        a_route("POST", "/tasks"),
        a_route("GET", "/tasks/{task}"),
        a_route("GET", "/tasks/{task}/runs/{run}"),
        a_route("DELETE", "/tasks/{task}/runs/{run}"),
        a_route("GET", "/tasks/newest"),
    ],
)


@pytest.mark.parametrize(
    ("method", "path", "route", "params"),
    [
        ("GET", "/v1/tasks", "/tasks", {}),
        ("HEAD", "/v1/tasks", "/tasks", {}),
        ("GET", "/v1/tasks/7", "/tasks/{task}", {"task": "7"}),
        ("GET", "/v1/tasks/newest", "/tasks/newest", {}),
        ("GET", "/v1/tasks/Zip%20code", "/tasks/{task}", {"task": "Zip code"}),
        ("GET", "/v1/tasks/a%2Fb", "/tasks/{task}", {"task": "a/b"}),
        ("GET", "/v1/tasks/a+b", "/tasks/{task}", {"task": "a+b"}),
        ("GET", "/v1/tasks/%C5%BE", "/tasks/{task}", {"task": "ž"}),
        ("DELETE", "/v1/tasks/a/runs/b", "/tasks/{task}/runs/{run}", {"task": "a", "run": "b"}),
    ],
)
def test_a_route_is_found_with_its_parameters(
    method: str, path: str, route: str, params: dict[str, str]
) -> None:
    found, values = ROUTER.find(method, path)

    assert found.path == route
    assert values == params


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/tasks/",
        "/v1/tasks//runs/1",
        "/v1/tasks/a/runs",
        "/v1/Tasks",
        "/v1/t%61sks",
        "/v1/tasks/%ff",
        "/v1/tasks/%00",
        "/v1/tasks/a%0Ab",
        "/v1/tasks/" + "x" * 201,
        "/v2/tasks",
        "v1/tasks",
        "",
    ],
)
def test_anything_else_is_not_found(path: str) -> None:
    with pytest.raises(RouteNotFound):
        ROUTER.find("GET", path)


def test_a_method_that_is_not_there_is_told_what_is() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTER.find("PATCH", "/v1/tasks")

    assert refused.value.allowed == ("GET", "HEAD", "OPTIONS", "POST")


def test_a_route_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router("", [a_route("GET", "/a/{x}"), a_route("GET", "/a/{y}")])


def test_a_route_without_a_permission_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="permission"):
        Route(method="GET", path="/", endpoint=endpoint, tag="t")  # type: ignore[call-arg]


@given(path=st.text(alphabet="/v1tasks%2e.;{}", max_size=40))
def test_no_address_breaks_the_router(path: str) -> None:
    try:
        route, values = ROUTER.find("GET", path)
    except (RouteNotFound, MethodNotAllowed):
        return
    assert set(values) == set(route.params)


def test_an_address_that_was_found_before_is_found_again_with_each_method_of_its_own() -> None:
    for _ in range(2):
        assert ROUTER.find("GET", "/v1/tasks/7")[1] == {"task": "7"}
        with pytest.raises(MethodNotAllowed):
            ROUTER.find("DELETE", "/v1/tasks/7")
        with pytest.raises(RouteNotFound):
            ROUTER.find("GET", "/v1/tusks/7")


def test_however_many_addresses_are_asked_for_few_are_remembered() -> None:
    router = Router("/v1", [a_route("GET", "/tasks/{task}")])

    for number in range(3 * MOST_REMEMBERED):
        router.find("GET", f"/v1/tasks/{number}")

    assert len(router._found) <= MOST_REMEMBERED
