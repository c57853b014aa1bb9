"""A whole Runyard in processes of its own: `runyard serve`, and commands that speak to it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

STARTING = 60.0
STOPPING = 30.0
COMMAND = 60.0


@dataclass
class House:
    """A server process with its worker."""

    data: Path
    process: subprocess.Popen[str]
    url: str = ""
    printed: list[str] = field(default_factory=list)
    """What the server has printed so far, line by line."""
    has_ended: bool = False
    """Whether it will print nothing more."""
    has_printed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def token(self) -> str:
        """The installation's first token."""
        return (self.data / "admin.token").read_text().strip()

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command of its own process, pointed at this server."""
        return runyard(*words, "--data", str(self.data), stdin=stdin)

    def json(self, *words: str) -> Any:
        """What a command answers with --json; it must succeed."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    def until_printed(self, text: str) -> None:
        """Returns once the server has printed a line with this text."""
        with self.has_printed:
            self.has_printed.wait_for(lambda: self.has_ended or self._says(text), STARTING)
        assert self._says(text), "\n".join((f"it did not print {text!r}:", *self.printed))

    def _says(self, text: str) -> bool:
        return any(text in line for line in self.printed)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks the server to stop, waits for it, and gives its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOPPING)


def runyard(
    *words: str, stdin: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A command with exactly these Runyard variables in its environment."""
    return subprocess.run(
        command(words),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND,
        env=environment(variables),
        check=False,
    )


@contextmanager
def running_house(
    data: Path, *words: str, program: str = "runyard", **variables: str
) -> Iterator[House]:
    """A server on a free port, for the length of the block."""
    process = subprocess.Popen(
        command(("serve", "--data", str(data), "--port", "0", *words), program),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(variables),
    )
    house = House(data, process)
    reading = threading.Thread(target=_read, args=(house,))
    reading.start()
    try:
        house.until_printed("Ctrl-C")
        yield house
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOPPING)
        finally:
            process.kill()
            reading.join()
            assert process.stdout is not None
            process.stdout.close()


def _read(house: House) -> None:
    assert house.process.stdout is not None
    for line in house.process.stdout:
        if " answers at " in line:
            house.url = line.rpartition(" ")[2].strip()
        with house.has_printed:
            house.printed.append(line.rstrip())
            house.has_printed.notify_all()
    with house.has_printed:
        house.has_ended = True
        house.has_printed.notify_all()


def command(words: Sequence[str], program: str = "runyard") -> list[str]:
    """How a program of Runyard is started."""
    return [sys.executable, "-m", program, *words]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a process inherits of this one's environment, and these variables."""
    ours = dict(os.environ)  # noqa: TID251 - what a command inherits, less what is Runyard's
    kept = {name: value for name, value in ours.items() if not name.startswith("RUNYARD_")}
    return {**kept, **variables}
