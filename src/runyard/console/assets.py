"""Front-end files, at addresses that carry their digest.

`/console/assets/<digest>/<name>` answers a file or nothing: the two words are looked up among the
files that were there when the server started, and never become a path. Our own files stand in
`assets/`, those of pinned packages in `assets/vendor/`, where `make venv` puts them.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runyard.model.errors import Busy
from runyard.model.tokens import Permission
from runyard.web.asgi import Headers
from runyard.web.errors import RouteNotFound
from runyard.web.pages import KeptFile
from runyard.web.requests import Request
from runyard.web.routing import Route

PREFIX = "/console/assets"
FOLDER = Path(__file__).with_name("assets")

CONTENT_TYPES: Mapping[str, bytes] = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
"""What is served, by ending; nothing else in the folders is."""

_DIGEST_LETTERS = 20
_VARY: Headers = [(b"vary", b"accept-encoding")]


class AssetMissing(Busy):
    """A front-end file is not part of this installation."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the front-end file {name} is missing from this installation; in a checkout, "
            "`.venv/bin/python -m tools.assets` fetches it"
        )


@dataclass(frozen=True)
class Asset:
    """One file."""

    name: str
    path: Path
    digest: str

    @property
    def address(self) -> str:
        """Where it is served; another content would have another address."""
        return f"{PREFIX}/{self.digest}/{self.name}"

    @property
    def content_type(self) -> bytes:
        """By its ending."""
        return CONTENT_TYPES[self.path.suffix]


class Assets:
    """The files of some folders, each known by its name alone."""

    def __init__(self, *folders: Path) -> None:
        self._files = {
            path.name: Asset(path.name, path, _digest(path))
            for folder in folders
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if path.suffix in CONTENT_TYPES
        }

    def address(self, name: str) -> str:
        """Where the file of this name is served; raises AssetMissing."""
        try:
            return self._files[name].address
        except KeyError:
            raise AssetMissing(name) from None

    def find(self, digest: str, name: str) -> Asset:
        """The file at this address; raises RouteNotFound."""
        found = self._files.get(name)
        if found is None or found.digest != digest:
            raise RouteNotFound
        return found


@cache
def installed() -> Assets:
    """The files that came with this installation."""
    return Assets(FOLDER, FOLDER / "vendor")


async def send_asset(request: Request) -> KeptFile:
    """Send a front-end file, compressed for whoever takes that."""
    asset = installed().find(request.params["digest"], request.params["name"])
    if b"gzip" in request.headers.get(b"accept-encoding", b""):
        packed = await asyncio.to_thread(_packed, asset.path)
        return KeptFile(packed, asset.content_type, [*_VARY, (b"content-encoding", b"gzip")])
    content = await asyncio.to_thread(asset.path.read_bytes)
    return KeptFile(content, asset.content_type, _VARY)


@cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGEST_LETTERS]


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/{digest}/{name}",
        permission=Permission.PUBLIC,
        endpoint=send_asset,
        tag="pages",
    ),
)
