"""What runs need before they can begin: their bundle, their environment, their input files."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from runyard.protocol.frames import BlobPart, FromWorker
from runyard.worker.blobs import BlobNotFetched, Blobs
from runyard.worker.bundles import BundleRefused, unpack
from runyard.worker.environments import Environment, EnvironmentNotBuilt, Environments
from runyard.worker.housing import set_aside
from runyard.worker.lanes import Supply
from runyard.worker.removal import remove_tree
from runyard.worker.settings import WorkerSettings
from runyard.worker.shortage import in_thread

DIGEST_LENGTH = 64
DIGEST_MARK = b'"digest"'
"""Stands in every input that refers to a file."""


class NotSupplied(Exception):
    """A run cannot begin here; `kind` and message say why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Supplies:
    """Everything that is fetched or built for runs, kept for later ones."""

    def __init__(self, settings: WorkerSettings, send: Callable[[FromWorker], None]) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._bundles = settings.folder / "bundles"
        self._bundles.mkdir(parents=True, exist_ok=True)
        for left in self._bundles.glob(".*"):
            remove_tree(left)
        self._blobs = Blobs(settings.folder / "blobs", send)
        self._environments = Environments(settings)
        self._unpacking: dict[str, asyncio.Lock] = {}
        self._obtaining: Counter[str] = Counter()
        """Bundles whose environment is still being built, with how many wait for that."""
        self.in_use: Callable[[], Iterable[Supply]] = tuple
        """What may not be removed."""

    @property
    def base(self) -> Environment:
        """The environment of bundles without requirements."""
        return self._environments.base

    def receive(self, part: BlobPart) -> None:
        """Bytes of a blob have come."""
        self._blobs.receive(part)

    def ask_again(self) -> None:
        """There is a new connection: what the last one did not bring is asked for once more."""
        self._blobs.ask_again()

    def close(self) -> None:
        """Nothing is fetched any more."""
        self._blobs.close()

    async def obtain(
        self, digest: str, requirements: tuple[str, ...], tell: Callable[[str], None]
    ) -> Supply:
        """Bundle and environment; raises NotSupplied."""
        self._obtaining[digest] += 1
        try:
            bundle = await self.unpacked(digest)
            supply = Supply(bundle, await self.environment(requirements, tell))
        finally:
            self._obtaining[digest] -= 1
            self._obtaining = +self._obtaining
        with suppress(
            OSError, RuntimeError
        ):  # no descriptor, no thread: what is left goes next time
            self._clean_up(supply)
        return supply

    async def unpacked(self, digest: str) -> Path:
        """The folder of a bundle; raises NotSupplied."""
        folder = self._bundles / digest
        try:
            async with self._unpacking.setdefault(digest, asyncio.Lock()):
                if not folder.is_dir():
                    archive = await self._blobs.fetch(digest)
                    await in_thread(unpack, archive, folder)
                    self._blobs.drop(digest)
                os.utime(folder)
        except BlobNotFetched as error:
            raise NotSupplied("BundleNotFetched", str(error)) from error
        except BundleRefused as error:
            raise NotSupplied("BundleRefused", str(error)) from error
        except OSError as error:
            raise NotSupplied("NotStored", f"the bundle was not unpacked: {error}") from error
        return folder

    async def environment(
        self, requirements: tuple[str, ...], tell: Callable[[str], None]
    ) -> Environment:
        """The environment for these requirements; raises NotSupplied."""
        try:
            return await self._environments.obtain(requirements, tell)
        except EnvironmentNotBuilt as error:
            raise NotSupplied("EnvironmentNotBuilt", str(error)) from error
        except OSError as error:
            raise NotSupplied("NotStored", f"the environment was not built: {error}") from error

    def _clean_up(self, newest: Supply) -> None:
        """Remove the bundles and environments that were not used for longest, beyond those that are
        kept. They disappear at once: what somebody obtains meanwhile is made anew.
        """
        supplies = (newest, *self.in_use())
        bundles = {supply.bundle.name for supply in supplies} | set(self._obtaining)
        aside = set_aside(self._bundles, bundles, self._settings.bundles)
        aside += self._environments.set_aside({supply.environment.name for supply in supplies})
        for path in aside:
            self._loop.run_in_executor(None, remove_tree, path)

    # ------------------------------------------------------------ files of one run

    def has_files(self, raw: msgspec.Raw) -> bool:
        """Whether an input may refer to files. Nearly free for most inputs."""
        return DIGEST_MARK in bytes(raw)

    async def stage(self, raw: msgspec.Raw, folder: Path) -> None:
        """Copy the files of an input into a new folder, under their digests.

        Raises NotSupplied.
        """
        try:
            os.mkdir(folder, 0o700)
            for digest in digests_in(raw):
                blob = await self._blobs.fetch(digest)
                await in_thread(_copy, blob, folder / digest)
        except BlobNotFetched as error:
            raise NotSupplied("FileNotFetched", str(error)) from error
        except OSError as error:
            raise NotSupplied("NotStored", f"an input file was not stored: {error}") from error


def digests_in(raw: msgspec.Raw) -> tuple[str, ...]:
    """The digests of the files that an input refers to."""
    found: dict[str, None] = {}
    waiting: list[Any] = [msgspec.json.decode(raw)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            if is_file(value):
                found[value["digest"]] = None
    return tuple(found)


def is_file(value: dict[str, Any]) -> bool:
    """Whether a JSON object has the form of a stored file."""
    digest = value.get("digest")
    return (
        isinstance(digest, str)
        and len(digest) == DIGEST_LENGTH
        and isinstance(value.get("file"), int)
        and isinstance(value.get("size"), int)
    )


def _copy(blob: Path, target: Path) -> None:
    shutil.copyfile(blob, target)
    target.chmod(0o644)
