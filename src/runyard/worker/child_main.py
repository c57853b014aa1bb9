"""Inside a child: take one run after the other, execute it, report.

The order of things at the end of a run matters: lines and files are sent, whatever the run left
running is dead and its scratch folder empty *before* the end is reported.
"""

import os
import signal
import socket
import sys
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from typing import NoReturn

import msgspec

from runyard.model.runs import Outcome, RunError
from runyard.protocol.frames import CodeProblem
from runyard.sdk import runtime
from runyard.worker import isolation
from runyard.worker.channel import ChildChannel
from runyard.worker.clock import monotonic, wall
from runyard.worker.descendants import end_below, memory_of
from runyard.worker.packets import (
    INLINE_LIMIT,
    PACKET_LIMIT,
    PIECE_SIZE,
    VALUE_LIMIT,
    WORK_FILE,
    ChildSpec,
    Examine,
    Examined,
    Finished,
    FromChild,
    Load,
    Piece,
    Prepare,
    Prepared,
    Started,
    Survey,
    Surveyed,
    Work,
    WorkFile,
    decode_to_child,
    decode_work,
    encode,
)
from runyard.worker.removal import remove_tree
from runyard.worker.zygote_spec import ZygoteSpec

_BOOT = (
    "import sys; sys.path += {paths!r}; "
    "from runyard.worker.child_main import resume; resume(*{arguments!r})"
)
_NO_BYTES = bytes(4)
"""A count of nothing, as the system writes it."""
LONG_AGO = 0.5
"""Seconds; a run that waited longer before the child may have lost its lease."""
LOOKS_AT_MEMORY_EVERY = 16
"""Runs; looking costs more than a small run."""
MOST_DESCRIPTORS = 1024
"""Descriptors that a child closes at its start, at most; a zygote never has that many."""


def live(zygote: int, spec: ChildSpec, descriptors: list[int], home: ZygoteSpec) -> NoReturn:
    """Be a child until the worker closes the work channel."""
    work, answers = _take_descriptors(descriptors)
    _set_up(zygote, spec)
    if home.packages is not None and os.path.isdir(os.path.join(home.packages, "msgspec")):
        _begin_anew(zygote, spec, home, (work.detach(), answers.detach()))
    _serve(spec, home, work, answers)


def _serve(
    spec: ChildSpec, home: ZygoteSpec, work: socket.socket, answers: socket.socket
) -> NoReturn:
    if home.packages is not None:
        _open_packages(home.executable, home.packages, home.sdk)
    Child(spec, work, answers).serve()
    os._exit(0)


def _begin_anew(
    zygote: int, spec: ChildSpec, home: ZygoteSpec, descriptors: tuple[int, int]
) -> NoReturn:
    """Start over as a new interpreter, with the msgspec that the author chose.

    What a zygote has loaded cannot be exchanged, and it may load nothing of an author's; so this
    happens here, where there are no rights left that the author does not have.
    """
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - the standard library's signature
    boot = _BOOT.format(
        paths=[home.packages, home.sdk],
        arguments=(zygote, encode((spec, home)).hex(), *descriptors),
    )
    python = os.path.realpath(home.executable)
    os.execve(python, [python, "-I", "-S", "-B", "-c", boot], spec.environment)


def resume(zygote: int, specs: str, work: int, answers: int) -> NoReturn:
    """Go on as a child after `_begin_anew`."""
    isolation.die_with_parent(zygote)
    spec, home = msgspec.msgpack.decode(bytes.fromhex(specs), type=tuple[ChildSpec, ZygoteSpec])
    for descriptor in (work, answers):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    _serve(spec, home, socket.socket(fileno=work), socket.socket(fileno=answers))


def _take_descriptors(descriptors: list[int]) -> tuple[socket.socket, socket.socket]:
    """Keep the two channels and the standard streams; close everything else."""
    work, answers, output, errors = descriptors
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    kept = {work, answers}
    for descriptor in sorted(kept):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, MOST_DESCRIPTORS)
    return socket.socket(fileno=work), socket.socket(fileno=answers)


def _set_up(zygote: int, spec: ChildSpec) -> None:
    os.setsid()
    isolation.adopt_descendants()
    isolation.limit(
        processes=spec.processes if spec.user is not None else None,
        open_files=spec.open_files,
        file_size=spec.file_size,
    )
    if spec.user is not None:
        isolation.own_shared_memory(spec.shared_memory, spec.folder)
        isolation.become(spec.user)
    else:
        isolation.renounce_capabilities()
    isolation.renounce_privileges()
    isolation.die_with_parent(zygote)
    if spec.landlock:
        isolation.confine((spec.bundle, spec.files, *spec.readable), (spec.folder,))
    _set_environment(spec.environment)
    os.umask(0o077)
    os.chdir(spec.folder)


def _set_environment(variables: dict[str, str]) -> None:
    environment = os.environ  # noqa: TID251 - written, not read: task code sees only these
    environment.clear()
    environment.update(variables)


def _open_packages(executable: str, packages: str, sdk: str) -> None:
    """Make the environment's packages importable, as a start without -S would have done.

    Only here, in a child: a package may bring code that is executed at this point.
    """
    import site

    sys.executable = executable
    sys.path[:] = [path for path in sys.path if path not in (packages, sdk)] + [packages, sdk]
    site.main()


class Child:
    """The loop of a child, and what it keeps between runs: the loaded tasks."""

    def __init__(self, spec: ChildSpec, work: socket.socket, answers: socket.socket) -> None:
        self._spec = spec
        self._work = work
        self._pid = os.getpid()
        self._tasks: dict[int, runtime.LoadedTask] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._runs = 0
        self._channel = ChildChannel(work, answers, spec.files, spec.folder)
        _announce_self_kills(self._channel)

    def serve(self) -> None:
        """Execute what comes, one at a time."""
        receive = self._work.recv
        self._empty_folder()
        while True:
            data = receive(PACKET_LIMIT)
            if not data:
                return
            packet = decode_to_child(data)
            if type(packet) is Work:
                self._execute(packet)
            elif type(packet) is WorkFile:
                self._execute(self._read_work(packet))
            elif type(packet) is Survey:
                self._survey()
            elif type(packet) is Examine:
                self._examine()
            elif type(packet) is Prepare:
                self._prepare(packet)

    def _execute(self, work: Work) -> None:
        channel = self._channel
        if work.sent_at and monotonic() - work.sent_at > LONG_AGO:
            channel.ask_to_begin(work.run_id)
        begun_at = wall()
        if not work.is_call:
            self._work.send(encode(Started(work.run_id, begun_at)))
        channel.open(work.run_id)
        outcome, output, error = self._perform(work)
        if os.getpid() != self._pid:
            os._exit(0)  # The task forked, and this is its copy: the run is not its to report.
        self._clean_up()
        channel.close()
        finished = Finished(
            work.run_id,
            outcome,
            begun_at if channel.has_begun else 0.0,
            wall(),
            output,
            0,
            error,
            channel.logged_errors,
            self._memory_now_and_then(),
            _has_printed(),
        )
        self._report(finished)

    def _memory_now_and_then(self) -> int:
        self._runs += 1
        if self._runs % LOOKS_AT_MEMORY_EVERY != 1:
            return 0
        return memory_of(self._pid, shared=True)

    def _perform(self, work: Work) -> tuple[Outcome, bytes | None, RunError | None]:
        try:
            task = self._tasks.get(work.version_id) or self._load(work.version_id, work.load)
            company, name = self._names[work.version_id]
            context = runtime.RunContext(
                run_id=work.run_id,
                public_id=work.public_id,
                attempt=work.attempt,
                task=name,
                company=company,
                steps={(step.name, step.occurrence): step.value for step in work.steps},
            )
            output = task.call(work.input, context, self._channel)
        except runtime.TaskFailed as failure:
            return failure.outcome, None, failure.error
        if output is not None and len(output) > VALUE_LIMIT:
            return Outcome.OUTPUT_INVALID, None, _too_large(len(output))
        return Outcome.RETURNED, output, None

    def _load(self, version_id: int, load: Load | None) -> runtime.LoadedTask:
        if load is None:
            raise RuntimeError("the worker sent a run of a version that it never introduced")
        task = runtime.load(self._spec.bundle, load.module, load.function)
        self._tasks[version_id] = task
        self._names[version_id] = (load.company, load.task)
        return task

    def _prepare(self, packet: Prepare) -> None:
        """Load a version before its first run; what it prints meanwhile is nobody's."""
        try:
            self._load(packet.version_id, packet.load)
        except runtime.TaskFailed as failure:
            self._say(Prepared(packet.version_id, failure.error))
        else:
            resident = memory_of(self._pid, shared=True)
            self._say(Prepared(packet.version_id, None, resident))
        self._clean_up()

    def _read_work(self, packet: WorkFile) -> Work:
        with open(os.path.join(self._spec.files, str(packet.run_id), WORK_FILE), "rb") as file:
            return decode_work(file.read())

    def _clean_up(self) -> None:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        else:
            self._end_leftovers()
        self._empty_folder()

    def _end_leftovers(self) -> None:
        """Kill what the run started and did not end, and wait until it is gone."""
        while True:
            end_below(self._pid)
            try:
                while True:
                    os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _empty_folder(self) -> None:
        """Stand in an empty folder, as every run does when it begins."""
        os.chdir(self._spec.folder)
        for name in os.listdir("."):
            if os.path.isdir(name) and not os.path.islink(name):
                remove_tree(Path(name).absolute())
            else:
                os.unlink(name)

    def _report(self, finished: Finished) -> None:
        output = finished.output
        if output is not None and len(output) > INLINE_LIMIT:
            finished = self._in_pieces(finished, output)
        self._work.send(encode(finished))

    def _in_pieces(self, finished: Finished, output: bytes) -> Finished:
        pieces = self._send_pieces(output)
        return Finished(
            finished.run_id,
            finished.outcome,
            finished.begun_at,
            finished.finished_at,
            None,
            pieces,
            finished.error,
            finished.logged_errors,
            finished.resident,
            finished.has_printed,
        )

    def _send_pieces(self, value: bytes) -> int:
        starts = range(0, len(value), PIECE_SIZE)
        for start in starts:
            self._say(Piece(value[start : start + PIECE_SIZE]))
        return len(starts)

    def _say(self, packet: FromChild) -> None:
        self._work.send(encode(packet))

    def _survey(self) -> None:
        try:
            requirements = runtime.static_requirements(self._spec.bundle)
        except runtime.CodeRefused as refused:
            self._say(Surveyed((), _problem(refused)))
        else:
            self._say(Surveyed(tuple(requirements), None))

    def _examine(self) -> None:
        try:
            declarations = runtime.inspect(self._spec.bundle)
        except runtime.CodeRefused as refused:
            self._say(Examined(_problem(refused)))
        else:
            self._send_pieces(encode(declarations))
            self._say(Examined(None))


def _has_printed() -> bool:
    """Whether the worker has not read yet what was written to the standard streams."""
    try:
        return any(ioctl(stream, FIONREAD, _NO_BYTES) != _NO_BYTES for stream in (1, 2))
    except OSError:  # the task has closed them, or put something else there
        return True


def _problem(refused: runtime.CodeRefused) -> CodeProblem:
    return CodeProblem(reason=refused.detail, file=refused.file, line=refused.line)


def _too_large(size: int) -> RunError:
    message = f"its output has {size:,} bytes; at most {VALUE_LIMIT:,} are allowed: return a file"
    return RunError(kind="OutputTooLarge", message=message)


def _announce_self_kills(channel: ChildChannel) -> None:
    """Tell the worker before the task signals its own process; else it looks like an outsider."""
    own = os.getpid()

    def is_self(pid: int) -> bool:
        return os.getpid() == own and pid in (own, 0, -own, -1)

    kill, killpg, abort = os.kill, os.killpg, os.abort
    raise_signal = signal.raise_signal

    def announced_kill(pid: int, number: int, /) -> None:
        if number and is_self(pid):
            channel.announce_signal(int(number))
        kill(pid, number)

    def announced_killpg(group: int, number: int, /) -> None:
        if number and is_self(group):
            channel.announce_signal(int(number))
        killpg(group, number)

    def announced_raise(number: int, /) -> None:
        channel.announce_signal(int(number))
        raise_signal(number)

    def announced_abort() -> NoReturn:
        channel.announce_signal(int(signal.SIGABRT))
        abort()

    os.kill, os.killpg, os.abort = announced_kill, announced_killpg, announced_abort
    signal.raise_signal = announced_raise
