"""Finding and ending processes by who started whom, from what /proc says.

A process that forks, forks again and starts a session of its own leaves every process group; it
cannot leave its ancestors. Ending a tree stops every process of it first, so that none can start
another one meanwhile, looks again until nothing new is found, and only then kills.
"""

import os
import re
import signal
from collections.abc import Iterable, Iterator

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
STOPPED_STATES = b"TtZXx"
_PROPORTIONAL = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


def children_of(pid: int) -> list[int]:
    """The processes that this one started (or adopted) and that still exist."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found.extend(map(int, file.read(1 << 20).split()))
        except OSError:
            continue
    return found


def descendants_of(pid: int) -> Iterator[int]:
    """Everything below this process, parents before their children."""
    waiting = children_of(pid)
    while waiting:
        child = waiting.pop()
        yield child
        waiting.extend(children_of(child))


def has_stopped(pid: int) -> bool:
    """Whether the process executes nothing at the moment and cannot until it is continued."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError:
        return True
    return text[text.rindex(b")") + 2] in STOPPED_STATES


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone already."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def end_tree(pid: int) -> None:
    """Kill a process and all its descendants; the caller reaps it."""
    send(pid, signal.SIGSTOP)
    below = freeze_below(pid)
    # From the bottom up would let a parent see its children die; all are stopped, so order
    # does not matter, but the root goes last: until then nobody else can adopt what is below it.
    for process in below:
        send(process, signal.SIGKILL)
    send(pid, signal.SIGKILL)


def end_below(pid: int) -> int:
    """Kill all descendants of a process, not itself. How many there were."""
    below = freeze_below(pid)
    for process in below:
        send(process, signal.SIGKILL)
    return len(below)


def freeze_below(pid: int) -> set[int]:
    """Stop all descendants of a process until a look finds no new one and none that runs."""
    frozen: set[int] = set()
    for _ in range(MOST_LOOKS):
        new = set(descendants_of(pid)) - frozen
        for process in new:
            send(process, signal.SIGSTOP)
        frozen |= new
        if not new and _all_stopped(frozen):
            break
    return frozen


MOST_LOOKS = 1000
"""A process in an uninterruptible call may not stop for long; what it starts later is caught
when it is adopted."""


def _all_stopped(processes: Iterable[int]) -> bool:
    return all(has_stopped(process) for process in processes)


def memory_of(pid: int, *, shared: bool) -> int:
    """Bytes of memory that a process has in use; without what it may share with others."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            fields = file.read(256).split()
    except OSError:
        return 0
    if len(fields) < 3:
        return 0
    pages = int(fields[1]) if shared else int(fields[1]) - int(fields[2])
    return pages * PAGE_SIZE


def proportional_memory_of(pid: int) -> int:
    """Bytes of memory in use, what several processes share being divided among them.

    Costs a walk through all its pages. Where that is not allowed: without what it may share.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError:
        return memory_of(pid, shared=False)
    found = _PROPORTIONAL.search(text)
    return int(found[1]) * 1024 if found else 0
