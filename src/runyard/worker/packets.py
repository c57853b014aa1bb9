"""What worker, zygote and child say to each other over their sockets.

One msgpack array per packet, told apart by an integer tag. Both ends are always of one release,
so nothing here is versioned. Instants are seconds since 1970: these packets are the hot path, and
only the worker makes datetimes of them.
"""

from collections.abc import Callable

import msgspec

from runyard.model.runs import Outcome, RunError
from runyard.model.tasks import Declaration
from runyard.protocol.frames import CodeProblem

INLINE_LIMIT = 48 * 1024
"""Values up to this many bytes stand in their packet; larger ones go another way."""
WORK_FILE = "work"
"""Name of the file that holds a `Work` which is too large for a packet."""
PACKET_LIMIT = 160 * 1024
"""More than the largest packet."""
VALUE_LIMIT = 4 * 1024 * 1024
"""Most bytes of an output or of a step's result."""
PIECES_LIMIT = 4 * VALUE_LIMIT
"""Bytes of pieces that the worker takes from a child before it thinks it mad."""
MOST_STEPS = 1_000_000
"""Steps of one name in a run."""
LONGEST_STEP_NAME = 500
PIECE_SIZE = 96 * 1024
"""Bytes of a large value or of a file in one packet."""


class Packet(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The root of all packets."""


# ---------------------------------------------------------------- worker to zygote


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a child is to be set up between fork and its first packet."""

    folder: str
    """Its own writable folder, in which its runs stand one after the other."""
    files: str
    """Where the worker puts what comes with its runs; read-only."""
    bundle: str
    """Its code, read-only."""
    readable: tuple[str, ...]
    """Further folders and files that it may read and execute."""
    user: int | None
    """Its own user (and group); None: it stays what the worker is."""
    landlock: bool
    processes: int
    open_files: int
    file_size: int
    shared_memory: int
    environment: dict[str, str]


class Fork(Packet, frozen=True, tag=1):
    """Fork a child. Its descriptors come with the packet: work, answers, output, errors."""

    number: int
    spec: ChildSpec


class KillChild(Packet, frozen=True, tag=2):
    """End a child and all its descendants."""

    number: int


FromPool = Fork | KillChild


class ZygoteReady(Packet, frozen=True, tag=1):
    """The zygote has loaded what it preloads."""

    own_users: bool
    """Whether children can be given users of their own here."""
    detail: str


class Forked(Packet, frozen=True, tag=2):
    """The child exists."""

    number: int
    pid: int


class Exited(Packet, frozen=True, tag=3):
    """The child and everything it had started are dead."""

    number: int
    code: int
    """Exit status, or minus the signal."""


class NotForked(Packet, frozen=True, tag=4):
    """There is no such child: the machine had no process or no memory for it."""

    number: int
    reason: str


FromZygote = ZygoteReady | Forked | Exited | NotForked


# ---------------------------------------------------------------- worker to child


class Load(Packet, frozen=True):
    """What a child must know of a version before its first run of it."""

    module: str
    function: str
    task: str
    company: str


class RecordedStep(Packet, frozen=True):
    """A step that an earlier attempt recorded."""

    name: str
    occurrence: int
    value: bytes


class Work(Packet, frozen=True, tag=1):
    """One run. Taking this packet is the beginning of the run."""

    run_id: int
    version_id: int
    public_id: str
    attempt: int
    input: bytes
    load: Load | None = None
    steps: tuple[RecordedStep, ...] = ()
    sent_at: float = 0.0
    """Monotonic; a child that takes it much later asks before it begins. 0: it need not."""
    is_call: bool = False
    """Whether it was handed to a child that had nothing to do: then it begins at once, and the child
    need not say so."""


class Survey(Packet, frozen=True, tag=2):
    """Say which requirements the bundle names, without importing it."""


class Examine(Packet, frozen=True, tag=3):
    """Import the bundle and say which tasks it has."""


class WorkFile(Packet, frozen=True, tag=4):
    """A `Work` that is too large for a packet: it stands in the run's own folder of files."""

    run_id: int


class Prepare(Packet, frozen=True, tag=5):
    """Load a version now, so that its first run need not wait for that."""

    version_id: int
    load: Load


ToChild = Work | WorkFile | Survey | Examine | Prepare


class Answer(Packet, frozen=True, tag=1):
    """The reply to the child's one open question."""

    value: bytes | None
    detail: str = ""


# ---------------------------------------------------------------- child to worker


class Started(Packet, frozen=True, tag=1):
    """The run was taken."""

    run_id: int
    at: float


class Finished(Packet, frozen=True, tag=2):
    """The run is over, and nothing that it started is left."""

    run_id: int
    outcome: Outcome
    begun_at: float
    """0: it never reached the task's code."""
    finished_at: float
    output: bytes | None = None
    pieces: int = 0
    """How many `Piece` packets before this one hold the output instead."""
    error: RunError | None = None
    logged_errors: int = 0
    resident: int = 0
    """Bytes of memory that the child has in use; 0: not looked."""
    has_printed: bool = True
    """Whether something may stand in its standard streams that nobody has read yet."""


class Piece(Packet, frozen=True, tag=3):
    """Part of a value that is too large for one packet."""

    data: bytes


class Lines(Packet, frozen=True, tag=4):
    """Lines of the run's log, still encoded: most of a flood is dropped unread."""

    run_id: int
    count: int
    body: bytes
    """A list of `LineText`."""


class LineText(Packet, frozen=True):
    """One line, not yet numbered."""

    at: float
    level: int
    text: str


class ProgressMade(Packet, frozen=True, tag=5):
    """How far the run says it has come."""

    run_id: int
    done: float
    total: float | None


class StepTaken(Packet, frozen=True, tag=6):
    """A step's result; answered once it is recorded."""

    run_id: int
    name: str
    occurrence: int
    value: bytes
    pieces: int = 0
    """How many `Piece` packets before this one hold the value instead."""


class FileStarted(Packet, frozen=True, tag=7):
    """A file that the run returns; its bytes follow as `FileBytes`."""

    run_id: int
    name: str
    content_type: str
    size: int


class FileBytes(Packet, frozen=True, tag=8):
    """The next bytes of the file; answered when it was the last part."""

    data: bytes
    last: bool


class SelfKill(Packet, frozen=True, tag=9):
    """The task is about to send its own process this signal."""

    run_id: int
    signal: int


class Surveyed(Packet, frozen=True, tag=10):
    """The requirements that the bundle names, or why it cannot be read."""

    requirements: tuple[str, ...] = ()
    problem: CodeProblem | None = None


class Examined(Packet, frozen=True, tag=11):
    """The tasks of the bundle; the declarations stand in the `Piece` packets before."""

    problem: CodeProblem | None = None


class Prepared(Packet, frozen=True, tag=12):
    """The version is loaded, or why it cannot be."""

    version_id: int
    error: RunError | None = None
    resident: int = 0
    """Bytes of memory that the child has in use with it."""


class MayBegin(Packet, frozen=True, tag=13):
    """The run was taken long after it was sent: everything may have stood still meanwhile, and its
    lease be over. Answered when it may begin."""

    run_id: int


FromChild = (
    Started
    | Finished
    | Piece
    | Lines
    | ProgressMade
    | StepTaken
    | FileStarted
    | FileBytes
    | SelfKill
    | Surveyed
    | Examined
    | Prepared
    | MayBegin
)


def is_step_name(name: str) -> bool:
    """Whether a step can be recorded under this name."""
    return 0 < len(name) <= LONGEST_STEP_NAME and "\0" not in name


encode = msgspec.msgpack.Encoder().encode
decode_from_pool: Callable[[bytes], FromPool] = msgspec.msgpack.Decoder(FromPool).decode
decode_from_zygote: Callable[[bytes], FromZygote] = msgspec.msgpack.Decoder(FromZygote).decode
decode_to_child: Callable[[bytes], ToChild] = msgspec.msgpack.Decoder(ToChild).decode
decode_work = msgspec.msgpack.Decoder(Work).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_from_child: Callable[[bytes], FromChild] = msgspec.msgpack.Decoder(FromChild).decode
decode_lines = msgspec.msgpack.Decoder(list[LineText]).decode
decode_declarations = msgspec.msgpack.Decoder(tuple[Declaration, ...]).decode
