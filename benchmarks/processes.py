"""Programs a benchmark starts, and their certain end."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProgramFailed(Exception):
    """A started program ended or answered otherwise than the benchmark needs."""


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    user: str | None = None,
    ending: int = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the background from the repository root; stop it and its group afterwards."""
    with log.open("ab") as output:
        # The death signal is set in the forked child: a killed benchmark must not leave servers behind.
        program = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            user=user,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads run here
        )
    try:
        yield program
    finally:
        stop(program, ending)


def stop(program: subprocess.Popen[bytes], ending: int = signal.SIGTERM) -> None:
    """End a program politely within ten seconds, then whatever is left of its process group."""
    if program.poll() is None:
        program.send_signal(ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(10)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # A session of its own: the group id is the program's id, so only its own group is hit.
        os.killpg(program.pid, signal.SIGKILL)
    program.wait(10)


def run(command: Sequence[str | Path], *, user: str | None = None, timeout: float = 600) -> str:
    """The standard output of a program run to its end; raises with its error text if it failed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        user=user,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise ProgramFailed(f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout


def free_port() -> int:
    """A loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    is_true: Callable[[], bool],
    what: str,
    *,
    program: subprocess.Popen[bytes] | None = None,
    seconds: float = 60,
    every: float = 0.02,
) -> None:
    """Return once the question is answered with yes; raise if the program ends or time runs out before."""
    end = time.monotonic() + seconds
    while not is_true():
        if program is not None and program.poll() is not None:
            raise ProgramFailed(f"program ended with {program.returncode} before {what}")
        if time.monotonic() > end:
            raise ProgramFailed(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(every)


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
