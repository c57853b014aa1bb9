"""Which door owns an address."""

import pytest

from runyard.web.asgi import Receive, Scope, Send
from runyard.web.dispatcher import Dispatcher


def named(name: str):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["answered_by"] = name
        scope["seen_path"] = scope["path"]

    app.__name__ = name
    return app


DISPATCHER = Dispatcher(
    doors={
        "/runyard/v1": named("native"),
        "/api/v1": named("first"),
        "/api/v1/share/wizard": named("second"),
        "/s": named("sessions"),
    },
    elsewhere=named("elsewhere"),
)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/runyard/v1", "native"),
        ("/runyard/v1/companies", "native"),
        ("/runyard/v1/", "native"),
        ("/api/v1/agents", "first"),
        ("/api/v1/share", "first"),
        ("/api/v1/share/wizard", "second"),
        ("/api/v1/share/wizard/1", "second"),
        ("/api/v1/share/wizards", "first"),
        ("/s", "sessions"),
        ("/s/abc", "sessions"),
        ("/sx", "elsewhere"),
        ("/", "elsewhere"),
        ("", "elsewhere"),
        ("/runyard", "elsewhere"),
        ("/runyard/v1x", "elsewhere"),
        ("/runyard/v2", "elsewhere"),
        ("//runyard/v1", "native"),
        ("///api/v1/agents", "first"),
        ("//unknown", "elsewhere"),
        ("/runyard//v1", "elsewhere"),
        ("/Runyard/v1", "elsewhere"),
        ("/runyard%2Fv1", "elsewhere"),
        ("/runyard/%761", "elsewhere"),
        ("/runyard/v1;x", "elsewhere"),
        ("/x/../runyard/v1", "elsewhere"),
    ],
)
def test_the_longest_run_of_equal_segments_owns_an_address(path: str, owner: str) -> None:
    assert DISPATCHER.owner(path).__name__ == owner


async def test_the_scope_reaches_the_door_untouched() -> None:
    scope: Scope = {"type": "http", "path": "/s/a b", "raw_path": b"/s/a%20b"}

    await DISPATCHER(scope, None, None)  # type: ignore[arg-type]

    assert scope["answered_by"] == "sessions"
    assert scope["seen_path"] == "/s/a b"
