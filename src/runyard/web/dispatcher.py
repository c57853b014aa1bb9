"""Which door owns an address.

Doors share prefixes (`/api/v1` belongs to one, `/api/v1/share/wizard` to another), so the owner is
the door with the longest run of equal segments. Segments are compared as they came over the wire:
`/Runyard` and `/runyard%2Fv1` are other addresses. Only slashes too many at the front are passed
over: no door has `//runyard` either, but the one that was meant says so in a form that its callers
read. The scope reaches the door untouched.
"""

from collections.abc import Mapping

from runyard.web.asgi import App, Receive, Scope, Send
from runyard.web.routing import LONGEST_REMEMBERED, MOST_REMEMBERED


class _Node:
    __slots__ = ("app", "children")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.app: App | None = None


class Dispatcher:
    """An ASGI app that hands each request to the app that owns its address."""

    def __init__(self, doors: Mapping[str, App], elsewhere: App) -> None:
        self._root = _Node()
        self._owners: dict[bytes, App] = {}
        """Of addresses that were asked for lately."""
        self._elsewhere = elsewhere
        for path, app in doors.items():
            self._node_at(path).app = app

    def _node_at(self, path: str) -> _Node:
        node = self._root
        for segment in path.split("/")[1:]:
            node = node.children.setdefault(segment, _Node())
        return node

    def owner(self, raw_path: str) -> App:
        """The app for this address, as it came over the wire and without its query."""
        node, best = self._root, self._elsewhere
        for segment in raw_path.lstrip("/").split("/"):
            child = node.children.get(segment)
            if child is None:
                return best
            node = child
            best = node.app or best
        return best

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        await (self._owners.get(raw_path) or self._remembered(raw_path))(scope, receive, send)

    def _remembered(self, raw_path: bytes) -> App:
        owner = self.owner(raw_path.decode("latin-1"))
        if len(raw_path) <= LONGEST_REMEMBERED:
            if len(self._owners) >= MOST_REMEMBERED:
                self._owners.clear()
            self._owners[raw_path] = owner
        return owner
