"""Virtual environments: one per distinct set of requirements, built by uv when first needed.

An environment is built in a folder of its own and appears under its final name by one rename, so
that there is never half of one. What a child's code finds first are the author's own pins; the
SDK and the msgspec that this worker uses come last on the path, through a folder of links.
"""

import asyncio
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runyard.worker.housing import set_aside
from runyard.worker.settings import WorkerSettings

KEPT_LINES = 20
"""Last lines of uv's output that a failure shows."""
MOST_TOLD = 2_000
"""Lines of uv's output that are told as they come; a failure still shows the last ones."""
LONGEST_LINE = 2_000
"""Bytes of one of them."""
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
"""Where a machine keeps the certificates of those that it trusts."""
VERSION = "1"
"""Of the layout; another one makes new environments."""


class EnvironmentNotBuilt(Exception):
    """The requirements could not be installed; the message is what uv said last."""


class Environment(NamedTuple):
    """An interpreter with what children of one lane can import."""

    name: str
    python: str
    """What its children take for their interpreter."""
    base_python: str
    """What its zygote is started with."""
    sdk: str
    """Where the worker's own SDK and msgspec are found: all that a zygote imports."""
    packages: str | None
    """Where its children find the packages of the requirements; they go before the SDK."""
    with_site: bool
    readable: tuple[str, ...]
    """Folders that its children read."""


class Environments:
    """All environments of a worker."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._folder = settings.folder / "environments"
        self._links = settings.folder / "sdk"
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        self._building: dict[str, asyncio.Lock] = {}
        self._base = self._base_environment()

    @property
    def base(self) -> Environment:
        """The environment of bundles without requirements: the standard library and the SDK."""
        return self._base

    async def obtain(
        self, requirements: tuple[str, ...], tell: Callable[[str], None]
    ) -> Environment:
        """The environment for these requirements, built if need be.

        `tell` gets what uv says meanwhile. Raises EnvironmentNotBuilt.
        """
        if not requirements:
            return self._base
        name = environment_name(requirements)
        building = self._building.setdefault(name, asyncio.Lock())
        if building.locked():
            tell("waiting for the environment, which is being built already")
        async with building:
            folder = self._folder / name
            if not folder.is_dir():
                await self._build(folder, requirements, tell)
            os.utime(folder)
        return self._environment(name, folder)

    def set_aside(self, used: Collection[str]) -> list[Path]:
        """Take away those that were not used for longest, beyond those that are kept; where they
        stand until they are removed.
        """
        return set_aside(self._folder, used, self._settings.environments)

    # ------------------------------------------------------------ building

    async def _build(
        self, folder: Path, requirements: tuple[str, ...], tell: Callable[[str], None]
    ) -> None:
        tell(f"building the environment for {', '.join(requirements)}")
        unfinished = Path(tempfile.mkdtemp(prefix=".building-", dir=self._folder))
        try:
            async with asyncio.timeout(self._settings.build.total_seconds()):
                await self._install(unfinished, requirements, tell)
            os.chmod(unfinished, 0o755)
            os.rename(unfinished, folder)
        except TimeoutError:
            raise EnvironmentNotBuilt(
                f"the environment was not built within {self._settings.build}"
            ) from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        tell("the environment is ready")

    async def _install(
        self, folder: Path, requirements: tuple[str, ...], tell: Callable[[str], None]
    ) -> None:
        wanted = folder / "requirements.txt"
        wanted.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        python = _base_python(self._settings.python)
        await self._uv(
            ("venv", "--relocatable", "--python", python, "--no-project", str(folder / "venv")),
            tell,
        )
        installed = str(folder / "venv" / "bin" / "python")
        await self._uv(
            (
                *("pip", "install", "--python", installed),
                *("--link-mode", "copy", "--requirement", str(wanted)),
                *(() if self._settings.source_builds else ("--no-build",)),
            ),
            tell,
        )

    async def _uv(self, arguments: tuple[str, ...], tell: Callable[[str], None]) -> None:
        process = await asyncio.create_subprocess_exec(
            find_uv(self._settings.python),
            *("--color", "never", "--no-python-downloads"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._variables(),
            cwd=self._folder,
        )
        last: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            if process.stdout is None:
                raise EnvironmentNotBuilt("uv was started without its output")
            told = 0
            async for text in _lines(process.stdout):
                last.append(text)
                told += 1
                if told <= MOST_TOLD:
                    tell(text)
            code = await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if code:
            raise EnvironmentNotBuilt("\n".join(last) or f"uv ended with {code}")

    def _variables(self) -> Mapping[str, str]:
        own = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._settings.folder),
            "UV_CACHE_DIR": str(self._settings.folder / "uv-cache"),
            "UV_SYSTEM_CERTS": "true" if _knows_authorities() else "false",
        }
        return {**own, **self._settings.variables}

    # ------------------------------------------------------------ describing

    def _environment(self, name: str, folder: Path) -> Environment:
        packages = folder / "venv" / "lib" / f"python{PYTHON_VERSION}" / "site-packages"
        return Environment(
            name,
            str(folder / "venv" / "bin" / "python"),
            self._base.base_python,
            self._base.sdk,
            str(packages),
            with_site=True,
            readable=(str(folder), *self._base.readable),
        )

    def _base_environment(self) -> Environment:
        targets = self._link("runyard"), self._link("msgspec")
        python = _base_python(self._settings.python)
        prefix = os.path.realpath(sys.base_prefix)
        return Environment(
            "base",
            python,
            python,
            str(self._links),
            None,
            with_site=False,
            readable=(str(self._links), *targets, prefix),
        )

    def _link(self, package: str) -> str:
        """Link an installed package into the SDK's folder; where it really is."""
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise EnvironmentNotBuilt(f"{package} is not installed beside the worker")
        target = os.path.realpath(os.path.dirname(found.origin))
        self._links.mkdir(parents=True, exist_ok=True)
        link = self._links / package
        if not link.is_symlink() or os.readlink(link) != target:
            fresh = self._links / f".{package}-{os.getpid()}"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.rename(link)
        return target


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines that are not empty, none longer than `LONGEST_LINE`, however long they were written."""
    rest = b""
    while data := await stream.read(LONGEST_LINE):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest[:LONGEST_LINE]], rest[LONGEST_LINE:]
        for line in whole:
            if text := line.decode("utf-8", "replace").rstrip():
                yield text
    if text := rest.decode("utf-8", "replace").rstrip():
        yield text


def _knows_authorities() -> bool:
    """Whether the machine says whom it trusts: then uv trusts these as well, and not its own list."""
    return any(os.path.isfile(file) for file in AUTHORITIES)


def environment_name(requirements: tuple[str, ...]) -> str:
    """The name of the environment for these requirements, whatever their order."""
    text = "\n".join((VERSION, PYTHON_VERSION, *sorted(set(requirements))))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def find_uv(python: str) -> str:
    """Where uv is: beside the interpreter, as its package puts it there."""
    beside = os.path.join(os.path.dirname(python), "uv")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("uv", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise EnvironmentNotBuilt("uv is not installed beside the worker")
    return found


def _base_python(python: str) -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(python)
