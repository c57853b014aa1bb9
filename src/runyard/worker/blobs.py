"""Blobs from the server: asked for once however many want them, verified, kept under a digest."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from runyard.protocol.frames import BlobPart, BlobWanted, FromWorker

MOST_STORED = 2 * 1024 * 1024 * 1024
"""Bytes of input files that are kept for later runs."""


class BlobNotFetched(Exception):
    """The server has no such blob, or sent something else."""


class Download:
    """A blob on its way."""

    def __init__(self, digest: str, folder: Path) -> None:
        self.digest = digest
        self.path = folder / f".{digest}-{os.getpid()}"
        # Unbuffered: what does not fit onto the disk is noticed at once, and not when it is closed.
        self.file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - closed by `end`
        self.hash = hashlib.sha256()
        self.received = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, part: BlobPart) -> bool:
        """Take the next bytes; whether these were the last ones."""
        if part.size is None:
            raise BlobNotFetched(f"the server does not have {self.digest} any more")
        if part.offset != self.received:
            raise BlobNotFetched(f"a part of {self.digest} is missing")
        if self.file.write(part.data) != len(part.data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.hash.update(part.data)
        self.received += len(part.data)
        return self.received >= part.size

    def end(self, error: BlobNotFetched | None) -> None:
        """Nothing more comes."""
        self.file.close()
        if error is not None:
            self.path.unlink(missing_ok=True)
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


class Blobs:
    """The folder of fetched blobs."""

    def __init__(self, folder: Path, send: Callable[[FromWorker], None]) -> None:
        self._folder = folder
        self._send = send
        self._downloads: dict[str, Download] = {}
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for left in folder.glob(".*"):
            left.unlink()
        self._stored = sum(entry.stat().st_size for entry in os.scandir(folder))

    async def fetch(self, digest: str) -> Path:
        """The file that holds this blob; raises BlobNotFetched."""
        path = self._folder / _safe(digest)
        if path.exists():
            os.utime(path)
            return path
        download = self._downloads.get(digest)
        if download is None:
            download = self._downloads[digest] = Download(digest, self._folder)
            self._send(BlobWanted(digest, 0))
        await asyncio.shield(download.done)
        return path

    def ask_again(self) -> None:
        """There is a new connection: ask for the rest of what is on its way."""
        for digest, download in self._downloads.items():
            self._send(BlobWanted(digest, download.received))

    def receive(self, part: BlobPart) -> None:
        """Bytes have come."""
        download = self._downloads.get(part.digest)
        if download is None:
            return
        problem: BlobNotFetched | None = None
        try:
            if not download.add(part):
                return
            self._keep(download)
        except BlobNotFetched as error:
            problem = error
        except OSError as error:
            problem = BlobNotFetched(f"{part.digest} was not stored: {error}")
        del self._downloads[part.digest]
        download.end(problem)

    def _keep(self, download: Download) -> None:
        """All of it has come."""
        if download.hash.hexdigest() != download.digest:
            raise BlobNotFetched(f"what came as {download.digest} is something else")
        self._make_room(download.received)
        download.path.rename(self._folder / download.digest)

    def drop(self, digest: str) -> None:
        """Nobody needs this blob as it is any more."""
        (self._folder / digest).unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove the blobs that were not used for longest once there are too many bytes."""
        self._stored += size
        if self._stored <= MOST_STORED:
            return
        entries = [entry for entry in os.scandir(self._folder) if not entry.name.startswith(".")]
        entries.sort(key=lambda entry: entry.stat().st_mtime)
        self._stored = sum(entry.stat().st_size for entry in entries)
        for entry in entries:
            if self._stored <= MOST_STORED // 2:
                return
            self._stored -= entry.stat().st_size
            os.unlink(entry.path)

    def close(self) -> None:
        """The worker stops; nothing comes any more."""
        downloads, self._downloads = self._downloads, {}
        for download in downloads.values():
            download.end(BlobNotFetched("the connection to the server ended"))
            download.done.exception()


def _safe(digest: str) -> str:
    if len(digest) != hashlib.sha256().digest_size * 2 or not digest.isalnum():
        raise BlobNotFetched(f"{digest!r} is not a digest")
    return digest
