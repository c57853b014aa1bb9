"""nginx for tests: the machine's, else Debian's package, installed where that is allowed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INSTALLING = 300.0
_COMMANDS = (
    ("apt-get", "update", "--quiet=2"),
    ("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", "nginx-light"),
)


def require_nginx() -> str:
    """Where nginx is; skips the test when there is none and none can be had."""
    if found := find_nginx():
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("nginx is not installed (on Debian: apt-get install nginx-light)")
    with _one_at_a_time():
        if found := find_nginx():
            return found
        _install()
    found = find_nginx()
    assert found is not None, "the package has brought no nginx"
    return found


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Tests run in several processes; two of apt-get would refuse each other."""
    with (Path(tempfile.gettempdir()) / "runyard-test-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install() -> None:
    # Runlevel 1: the package does not start a server of its own.
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # noqa: TID251 - for apt-get
    for command in _COMMANDS:
        try:
            done = subprocess.run(
                command,
                env=variables,
                capture_output=True,
                text=True,
                timeout=INSTALLING,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip("nginx could not be installed: apt-get takes too long")
        if done.returncode != 0:
            pytest.skip(f"nginx could not be installed: {done.stderr.strip()[-300:]}")


def find_nginx() -> str | None:
    """Where nginx is, if it is installed; Debian's is not on everybody's path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
