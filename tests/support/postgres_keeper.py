"""The process that owns a private PostgreSQL server and outlives nobody.

Tests may be killed at any moment, and a database server left behind would stay for days. So a
server is never a child of the tests themselves: this program starts it, obeys one-line commands
on its standard input, and takes the end of that input (which comes with the death of the tests,
however they died) as the order to stop the server and remove its folder. Should this program be
killed instead, the kernel stops the server.

Commands: `start`, `stop MODE` with a mode of pg_ctl (fast, immediate). Each is answered by one
line, `ok` or `failed: why`.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER_PREFIX = "runyard-postgres-"
ROLE = "runyard"
READY = b"database system is ready to accept connections"
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PR_SET_PDEATHSIG = 1


class ServerFailed(Exception):
    """The server, or the making of its files, ended with an error."""


@dataclass(frozen=True)
class Owner:
    """The user the server runs as, where that is not the user of the tests."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Order:
    """What the tests ask for: which programs, as whom, with which server settings."""

    binaries: Path
    owner: Owner | None
    settings: Mapping[str, str]

    @classmethod
    def from_json(cls, text: str) -> "Order":
        order = json.loads(text)
        owner = order["owner"]
        return cls(
            binaries=Path(order["binaries"]),
            owner=None if owner is None else Owner(*owner),
            settings=order["settings"],
        )


def shared_memory_folder() -> Path:
    """Where files live in memory; the folder for temporary files where there is no such place."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def remove_abandoned_folders(root: Path) -> None:
    """Remove what keepers that were killed could not remove themselves."""
    for folder in root.glob(f"{FOLDER_PREFIX}*-*"):
        keeper = folder.name.removeprefix(FOLDER_PREFIX).split("-")[0]
        if keeper.isdecimal() and not Path("/proc", keeper).exists():
            shutil.rmtree(folder, ignore_errors=True)


def die_with_keeper() -> None:
    """Have the kernel stop this process (fast, without a checkpoint) when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Server:
    """One PostgreSQL server with its files in a folder of its own."""

    def __init__(self, order: Order, folder: Path) -> None:
        self.folder = folder
        self._order = order
        self._binaries = order.binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._last_lines: deque[bytes] = deque(maxlen=50)
        if order.owner is not None:
            os.chown(folder, order.owner.uid, order.owner.gid)

    def create_files(self) -> None:
        """Make the server's files. Its programs are copied where its user may not reach them."""
        try:
            self._run("initdb", "--version")
        except PermissionError:
            home = self._binaries.parent
            shutil.copytree(home, self.folder / "programs", symlinks=True)
            self._binaries = self.folder / "programs" / self._binaries.name
        self._run(
            "initdb",
            *("--pgdata", str(self.folder / "data"), "--username", ROLE, "--auth", "trust"),
            *("--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
        )

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        self._last_lines.clear()
        self._process = self._open(
            str(self._binaries / "postgres"),
            *("-D", str(self.folder / "data"), *self._settings()),
            errors_to=subprocess.PIPE,
        )
        ready = threading.Event()
        threading.Thread(target=self._read_log, args=(self._process, ready), daemon=True).start()
        ready.wait()
        if self._process.poll() is not None or READY not in b"".join(self._last_lines):
            raise ServerFailed(self._last_words())

    def stop(self, mode: str) -> None:
        """Stop the server; returns when it is gone."""
        if self._process is not None:
            self._process.send_signal(STOP_SIGNALS[mode])
            self._process.wait()
            self._process = None

    def _settings(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "logging_collector": "off",
            **self._order.settings,
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _open(self, *words: str, errors_to: int) -> "subprocess.Popen[bytes]":
        owner = self._order.owner
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors_to,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
            preexec_fn=die_with_keeper,  # noqa: PLW1509 (no other thread runs at this time)
        )

    def _run(self, program: str, *arguments: str) -> None:
        path = str(self._binaries / program)
        with self._open(path, *arguments, errors_to=subprocess.PIPE) as process:
            _, said = process.communicate()
        if process.returncode != 0:
            raise ServerFailed(f"{program}: {said.decode(errors='replace').strip()}")

    def _read_log(self, process: subprocess.Popen[bytes], ready: threading.Event) -> None:
        assert process.stderr is not None
        with (self.folder / "server.log").open("ab", buffering=0) as log:
            for line in process.stderr:
                log.write(line)
                self._last_lines.append(line)
                if READY in line:
                    ready.set()
        process.wait()
        ready.set()

    def _last_words(self) -> str:
        return b"".join(self._last_lines).decode(errors="replace").strip() or "it said nothing"


def say(line: str) -> None:
    """Tell the tests."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(action: Callable[[], None]) -> None:
    """Do it and tell the tests how it went."""
    try:
        action()
    except (ServerFailed, OSError) as problem:
        say("failed: " + " | ".join(str(problem).splitlines()))
    else:
        say("ok")


def obey(server: Server) -> None:
    """Carry out commands until there is nobody left to give them."""
    for line in sys.stdin:
        match line.split():
            case ["start"]:
                answer(server.start)
            case ["stop", mode]:
                answer(partial(server.stop, mode))
            case _:
                say(f"failed: no such command: {line.strip()}")


def main() -> None:
    """Keep one server as ordered by the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    root = shared_memory_folder()
    remove_abandoned_folders(root)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=root))
    server = Server(Order.from_json(sys.argv[1]), folder)
    try:
        say(str(folder))
        answer(server.create_files)
        obey(server)
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
