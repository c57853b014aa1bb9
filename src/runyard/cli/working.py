"""A worker for a server on another machine: `runyard worker --server URL`."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runyard.cli.exits import CONFLICT, DONE, FAILED, REFUSED, Misused
from runyard.cli.output import complain, console
from runyard.model.workers import NAME_RULE, is_worker_name

if TYPE_CHECKING:
    from runyard.worker.settings import WorkerSettings
    from runyard.worker.socket import SocketLine

DEFAULT_FOLDER = Path("runyard-worker")
MOST_SLOTS = 10_000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Where the server is, and how this worker executes."""

    server: Annotated[
        list[str] | None,
        Parameter(
            env_var="RUNYARD_URL",
            help="Address of the server, as https://host[:port]. Repeat it for several servers of one "
            "database: when one does not answer, the next is tried.",
        ),
    ] = None
    token: Annotated[
        str | None,
        Parameter(
            env_var=["RUNYARD_WORKER_TOKEN", "RUNYARD_TOKEN"],
            help="A worker token. Others on the machine may see it here: the file is better.",
            show_default=False,
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        Parameter(env_var="RUNYARD_WORKER_TOKEN_FILE", help="File with the worker token."),
    ] = None
    slots: Annotated[
        int | None, Parameter(help="Runs executed at once; one per CPU unless given.")
    ] = None
    label: Annotated[
        list[str] | None,
        Parameter(help="What tasks can require of it, such as gpu; may be repeated."),
    ] = None
    name: Annotated[
        str | None, Parameter(help="Under which name it appears; the host's unless given.")
    ] = None
    data: Annotated[
        Path,
        Parameter(
            env_var="RUNYARD_WORKER_DATA",
            help="Folder of bundles, environments and scratch files.",
        ),
    ] = DEFAULT_FOLDER
    trust: Annotated[
        Path | None,
        Parameter(
            env_var="RUNYARD_WORKER_TRUST",
            help="Certificate authorities (PEM) to trust beside those of the machine.",
        ),
    ] = None
    drain: Annotated[str, Parameter(help="How long running runs may go on when it is stopped.")] = (
        "30s"
    )
    source_builds: Annotated[
        bool,
        Parameter(help="Let requirements be packages without a wheel, which have to be built."),
    ] = False

    def servers(self) -> tuple[str, ...]:
        """The addresses; raises Misused when there is none."""
        given = [part.strip() for text in self.server or () for part in text.split(",")]
        if not any(given):
            raise Misused("Say where the server is: --server URL, or RUNYARD_URL.")
        return tuple(part for part in given if part)

    def secret(self) -> str:
        """The token; raises Misused when there is none."""
        if self.token:
            return self.token.strip()
        if self.token_file is None:
            raise Misused(
                "Give the worker's token: RUNYARD_WORKER_TOKEN, --token-file FILE or --token T.\n"
                "Make one with: runyard token create worker --company SLUG"
            )
        try:
            secret = self.token_file.read_text().strip()
        except OSError as error:
            raise Misused(f"--token-file {self.token_file}: {error.strerror}") from error
        if not secret:
            raise Misused(f"--token-file {self.token_file}: there is nothing in it")
        return secret

    def settings(self) -> "WorkerSettings":
        """How it executes; raises Misused."""
        from runyard.cli.values import span
        from runyard.surroundings import tool_variables
        from runyard.worker.settings import DEFAULT_SLOTS, WorkerSettings

        if self.slots is not None and not 1 <= self.slots <= MOST_SLOTS:
            raise Misused(f"--slots {self.slots}: allowed are 1 to {MOST_SLOTS}")
        return WorkerSettings(
            folder=self.data,
            slots=self.slots or DEFAULT_SLOTS,
            name=self._chosen_name(),
            labels=tuple(dict.fromkeys(self.label or ())),
            drain=span(self.drain),
            source_builds=self.source_builds,
            variables=tool_variables(),
        )

    def _chosen_name(self) -> str:
        if self.name is None:
            host = socket.gethostname()
            return host if is_worker_name(host) else f"host-{host}"
        if not is_worker_name(self.name):
            raise Misused(f"--name {self.name[:80]!r}: allowed are {NAME_RULE}")
        return self.name


NOTHING_CHOSEN = WorkerOptions()


def work(*, options: WorkerOptions = NOTHING_CHOSEN) -> int:
    """Execute runs for a server, over one outbound connection, until told to stop.

    Ctrl-C or SIGTERM stops it: it takes nothing more, running runs may finish, then it ends.
    """
    import uvloop

    from runyard.surroundings import forbid_inspection, hide_arguments

    servers, secret, settings = options.servers(), options.secret(), options.settings()
    hide_arguments()
    forbid_inspection()
    return uvloop.run(_work(_line(servers, secret, options.trust), settings))


async def _work(line: "SocketLine", settings: "WorkerSettings") -> int:
    from runyard.cli.stopping import stop_signals
    from runyard.worker.housing import FolderTaken
    from runyard.worker.nursery import ZygoteNotStarted
    from runyard.worker.transport import WorkerRefused
    from runyard.worker.worker import NAME_TAKEN, Worker

    worker = Worker(line, settings, tell=_tell)
    with stop_signals() as stopping:
        try:
            await stopping.graceful(worker.run(), worker.stop)
        except WorkerRefused as refusal:
            complain([str(refusal)])
            return CONFLICT if refusal.code == NAME_TAKEN else REFUSED
        except FolderTaken as taken:
            complain([f"{taken} (--data)"])
            return CONFLICT
        except ExceptionGroup as failed:
            if (problems := failed.subgroup(ZygoteNotStarted)) is None:
                raise
            complain([str(problem) for problem in problems.exceptions])
            return FAILED
    console().print("Stopped.")
    return DONE


def _line(servers: Sequence[str], secret: str, trust: Path | None) -> "SocketLine":
    from runyard.worker.socket import AddressRefused, SocketLine

    try:
        return SocketLine(servers, secret, trusting=trust)
    except AddressRefused as error:
        raise Misused(f"--server {error.address}: allowed: {error}") from error
    except OSError as error:
        raise Misused(f"--trust {trust}: {error}") from error


def _tell(text: str) -> None:
    console().print(text)
