"""Who may say what, and until when: the conversation's two ends as state machines without I/O.

    worker     NEW --hello--> GREETED --Welcome--> OPEN --goodbye, Refusal, close--> ENDED
    server     NEW --Hello--> GREETED --welcome--> OPEN --Goodbye, refuse, close--> ENDED

A worker that nobody has allowed yet is PENDING between GREETED and OPEN: it gives signs of life,
nothing else, and is welcomed on the same connection once an administrator has allowed it.

An end is told what arrived and what time it is, and says what follows from it; it never sends,
waits or reads a clock. Instants are seconds of one monotonic clock of its own machine.

Leases. Every heartbeat renews all leases of the session. The server counts from the instant at
which it *heard* one, the worker from the instant at which it *sent* the last one it knows to have
been heard. Sending comes before hearing, so the worker's idea of the lease always ends before the
server's; it gives up a margin earlier still, so that it has the time to kill its children.
That a heartbeat was heard it learns from `Renewed`, or at once where sending is arriving. One that
was not confirmed by the time the next is due tells that nobody listens any more (`deaf_at`).

Resuming. A connection that breaks is not the end of a session: until its leases end, the worker may
come back, to any server of the same database, with the session's key. So each connection has two
ends of its own, and what outlives them on the worker's side is a `Standing`: the session, its key,
and until when its leases last. Meanwhile the worker begins nothing; what had not begun when the
connection broke it has dropped. A hello with `Resume` says what it still has; the welcome says what
of that is void. An answer other than a welcome ends the session for the worker too.

Requests. The server numbers what it asks (`Recall`, `Kill`, `Inspect`), the worker what it asks
(`StepDone`). A request that comes twice is answered once; an answer to nothing asked changes
nothing.
"""

from collections import OrderedDict
from datetime import timedelta
from enum import Enum
from typing import NamedTuple, NewType

from runyard.model.ids import SessionId
from runyard.protocol.codec import ProtocolViolation
from runyard.protocol.frames import (
    PROTOCOL_VERSIONS,
    Call,
    FromServer,
    FromWorker,
    Goodbye,
    Heartbeat,
    Hello,
    Inspect,
    Inspected,
    Kill,
    Killed,
    Pending,
    Recall,
    Recalled,
    Refusal,
    Renewed,
    StepRecorded,
    Welcome,
)

Monotonic = NewType("Monotonic", float)
"""Seconds on a clock that never jumps."""

LEASE_MARGIN = timedelta(seconds=2)
"""How long before its leases end a worker starts to kill its children, at most."""


def margin_of(lease: timedelta) -> timedelta:
    """The same for leases of this length: a quarter of short ones."""
    return min(LEASE_MARGIN, lease / 4)


REMEMBERED_REQUESTS = 4096


class SessionState(Enum):
    """How far a conversation is."""

    NEW = "new"
    GREETED = "greeted"
    PENDING = "pending"
    OPEN = "open"
    ENDED = "ended"


_GREETED = (SessionState.GREETED, SessionState.PENDING)
_ALIVE = (SessionState.PENDING, SessionState.OPEN)


def agree(offered: tuple[int, ...], spoken: tuple[int, ...] = PROTOCOL_VERSIONS) -> int | None:
    """The newest version of the protocol that both ends speak, or None."""
    common = set(offered) & set(spoken)
    return max(common) if common else None


class Standing(NamedTuple):
    """A session that outlives its connection, as its worker knows it."""

    session_id: SessionId
    key: str
    lease: timedelta
    renewed_at: Monotonic

    @property
    def give_up_at(self) -> Monotonic:
        """When all children must be killed unless the session was resumed before."""
        return Monotonic(self.renewed_at + (self.lease - margin_of(self.lease)).total_seconds())


class WorkerSession:
    """The worker's end of one connection."""

    def __init__(self, *, sent_is_heard: bool = False, standing: Standing | None = None) -> None:
        """`standing`: the session that this connection goes on with."""
        self.state = SessionState.NEW
        self.welcome: Welcome | None = None
        self.pending: Pending | None = None
        self.refusal: Refusal | None = None
        self._sent_is_heard = sent_is_heard
        self._sent: OrderedDict[int, Monotonic] = OrderedDict()
        self._number = 0
        self._greeted_at = Monotonic(0.0)
        self._beat_at = Monotonic(0.0)
        self._standing = standing
        self._renewed_at = Monotonic(0.0) if standing is None else standing.renewed_at
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._owed: set[int] = set()
        self._asked = 0
        self._open_questions: set[int] = set()

    def greet(self, hello: Hello, now: Monotonic) -> Hello:
        """The first frame to send."""
        self._demand(SessionState.NEW, hello)
        self.state = SessionState.GREETED
        self._greeted_at = now
        return hello

    def receive(self, frame: FromServer, now: Monotonic) -> bool:
        """Take note of a frame. False: it changes nothing and must not be acted upon.

        Raises ProtocolViolation for what may not be said in this state.
        """
        match frame:
            case Call():  # first, since whoever calls waits for each microsecond
                self._demand(SessionState.OPEN, frame)
            case Welcome():
                self._open(frame, now)
            case Pending():
                self._demand(SessionState.GREETED, frame)
                self.pending = frame
                self.state = SessionState.PENDING
                self._renewed_at, self._beat_at = self._greeted_at, now
            case Refusal():
                self.refusal = frame
                self.state = SessionState.ENDED
            case Renewed(number):
                self._demand(_ALIVE, frame)
                self._confirm(number)
            case Recall(request) | Kill(request) | Inspect(request=request):
                self._demand(SessionState.OPEN, frame)
                return self._owe(request)
            case StepRecorded(request):
                self._demand(SessionState.OPEN, frame)
                return self._settle(request)
            case _:
                self._demand(SessionState.OPEN, frame)
        return True

    def heartbeat(self, busy: int, now: Monotonic) -> Heartbeat:
        """The next sign of life, to be sent at once."""
        self._number += 1
        self._beat_at = now
        if self._sent_is_heard:
            self._renewed_at = now
        else:
            self._sent[self._number] = now
        return Heartbeat(busy, self._number)

    @property
    def heartbeat_due_at(self) -> Monotonic | None:
        """When the next sign of life must be sent; None before any answer and after the end."""
        rhythm = self.welcome or self.pending
        if self.state not in _ALIVE or rhythm is None:
            return None
        return Monotonic(self._beat_at + rhythm.heartbeat.total_seconds())

    @property
    def deaf_at(self) -> Monotonic | None:
        """When the connection must be taken for dead, though nobody has closed it, unless the
        heartbeats on their way are confirmed before; None: none are.
        """
        rhythm = self.welcome or self.pending
        if self.state not in _ALIVE or rhythm is None or not self._sent:
            return None
        return Monotonic(next(iter(self._sent.values())) + rhythm.heartbeat.total_seconds())

    @property
    def give_up_at(self) -> Monotonic | None:
        """When all children must be killed unless the leases are renewed before."""
        if (standing := self._held) is not None:
            return standing.give_up_at
        return None

    @property
    def standing(self) -> Standing | None:
        """What another connection may go on with; None: nothing."""
        held = self._held
        return held if held is not None and held.key and self.refusal is None else None

    @property
    def _held(self) -> Standing | None:
        """The session, with its latest renewal."""
        if (welcome := self.welcome) is not None:
            return Standing(welcome.session_id, welcome.key, welcome.lease, self._renewed_at)
        return self._standing

    def ask(self) -> int:
        """A number for a request of the worker's own."""
        self._asked += 1
        self._open_questions.add(self._asked)
        return self._asked

    def answer(self, frame: Recalled | Killed | Inspected) -> bool:
        """Whether this answer is still owed; it is not owed any more afterwards."""
        owed = frame.request in self._owed
        self._owed.discard(frame.request)
        return owed

    def end(self) -> None:
        """The connection is over."""
        self.state = SessionState.ENDED
        self._open_questions.clear()
        self._owed.clear()

    def _open(self, welcome: Welcome, now: Monotonic) -> None:
        self._demand(_GREETED, welcome)
        if welcome.protocol not in PROTOCOL_VERSIONS:
            raise ProtocolViolation(f"welcomed under protocol {welcome.protocol}, never offered")
        if welcome.resumed != (self._standing is not None):
            raise ProtocolViolation("welcomed into a session that was not asked for")
        self.welcome = welcome
        self.state = SessionState.OPEN
        # The hello was heard, and since then perhaps a heartbeat of a worker that had to wait.
        known = now if self._sent_is_heard else self._greeted_at
        self._renewed_at = Monotonic(max(self._renewed_at, known))
        self._beat_at = now

    def _confirm(self, number: int) -> None:
        sent_at = self._sent.get(number)
        if sent_at is None:
            return
        self._renewed_at = Monotonic(max(self._renewed_at, sent_at))
        while self._sent and next(iter(self._sent)) <= number:
            self._sent.popitem(last=False)

    def _owe(self, request: int) -> bool:
        if request in self._seen:
            return False
        self._seen[request] = None
        if len(self._seen) > REMEMBERED_REQUESTS:
            self._seen.popitem(last=False)
        self._owed.add(request)
        return True

    def _settle(self, request: int) -> bool:
        known = request in self._open_questions
        self._open_questions.discard(request)
        return known

    def _demand(self, allowed: SessionState | tuple[SessionState, ...], frame: object) -> None:
        _demand(self.state, allowed, frame)


class ServerSession:
    """The server's end of one connection."""

    def __init__(self) -> None:
        self.state = SessionState.NEW
        self.hello: Hello | None = None
        self.protocol: int | None = None
        """The agreed version; None: there is none, and the worker must be refused."""
        self._lease = timedelta()
        self._heard_at = Monotonic(0.0)
        self._asked = 0
        self._open_questions: dict[int, type[Recalled | Killed | Inspected]] = {}

    def receive(self, frame: FromWorker, now: Monotonic) -> FromServer | None:
        """Take note of a frame; the answer to send at once, if any.

        Raises ProtocolViolation for what may not be said in this state.
        """
        match frame:
            case Hello():
                self._demand(SessionState.NEW, frame)
                self.state = SessionState.GREETED
                self.hello = frame
                self.protocol = agree(frame.protocol)
            case Heartbeat(_, number):
                self._demand(_ALIVE, frame)
                self._heard_at = now
                return Renewed(number)
            case Goodbye():
                self._demand(_ALIVE, frame)
                self.end()
            case _:
                self._demand(SessionState.OPEN, frame)
        return None

    def keep_waiting(self, pending: Pending, lease: timedelta, now: Monotonic) -> Pending:
        """Let the worker wait for its welcome; the frame to send."""
        self._demand(SessionState.GREETED, pending)
        self.state = SessionState.PENDING
        self._lease = lease
        self._heard_at = now
        return pending

    def welcome(self, welcome: Welcome, now: Monotonic) -> Welcome:
        """Let the worker in; the frame to send."""
        self._demand(_GREETED, welcome)
        if welcome.protocol != self.protocol:
            raise ProtocolViolation(f"agreed on {self.protocol}, not {welcome.protocol}")
        self.state = SessionState.OPEN
        self._lease = welcome.lease
        self._heard_at = now
        return welcome

    def refuse(self, code: str, detail: str) -> Refusal:
        """Turn the worker away; the frame to send before the connection is closed."""
        self.end()
        return Refusal(code, detail)

    @property
    def lease_ends_at(self) -> Monotonic:
        """When the leases of this session end unless another heartbeat is heard."""
        return Monotonic(self._heard_at + self._lease.total_seconds())

    def has_expired(self, now: Monotonic) -> bool:
        """Whether the worker has been silent for longer than its leases last."""
        return self.state in _ALIVE and now >= self.lease_ends_at

    def ask(self, answer: type[Recalled | Killed | Inspected]) -> int:
        """A number for a request that will be answered by this kind of frame."""
        self._asked += 1
        self._open_questions[self._asked] = answer
        return self._asked

    def settle(self, answer: Recalled | Killed | Inspected) -> bool:
        """Whether this answers an open request; that request is closed afterwards."""
        expected = self._open_questions.get(answer.request)
        if expected is None or not isinstance(answer, expected):
            return False
        del self._open_questions[answer.request]
        return True

    def end(self) -> None:
        """The connection is over; nothing that was asked will be answered."""
        self.state = SessionState.ENDED
        self._open_questions.clear()

    def _demand(self, allowed: SessionState | tuple[SessionState, ...], frame: object) -> None:
        _demand(self.state, allowed, frame)


def _demand(
    state: SessionState, allowed: SessionState | tuple[SessionState, ...], frame: object
) -> None:
    if state is not allowed and (isinstance(allowed, SessionState) or state not in allowed):
        raise ProtocolViolation(f"{type(frame).__name__} while {state.value}")
