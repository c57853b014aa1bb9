"""What the machine is, and what processes cost on it, read from /proc."""

import os
import platform
import time
from pathlib import Path

import msgspec

DISK = Path("/var/tmp")
"""Where servers keep their data while they are measured: temporary, but on a disk, and open to every user."""

_TICKS = os.sysconf("SC_CLK_TCK")


class Facts(msgspec.Struct, frozen=True):
    """What a reader must know about a machine to judge figures. No names of hosts or people."""

    date: str
    cores: int
    processor: str
    memory_gb: int
    kernel: str
    python: str
    file_system: str
    versions: dict[str, str]


class Usage(msgspec.Struct, frozen=True):
    """One process at one instant: CPU seconds so far, its own and of the children it has buried, and memory in MB."""

    id: int
    parent: int
    title: str
    cpu: float
    cpu_of_ended: float
    resident: float
    proportional: float


def facts(versions: dict[str, str]) -> Facts:
    """Describe this machine now."""
    return Facts(
        date=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        cores=len(os.sched_getaffinity(0)),
        processor=_processor(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=platform.release().split("-")[0],
        python=platform.python_version(),
        file_system=file_system(DISK),
        versions=versions,
    )


def described() -> str:
    """The machine in one line."""
    return (
        f"{len(os.sched_getaffinity(0))} cores, {_processor()}, Python {platform.python_version()}, "
        f"{file_system(DISK)}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def file_system(folder: Path) -> str:
    """The type of file system a folder is on; `tmpfs` means that nothing there is durable."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, kind, *_rest = line.split()
        if folder.is_relative_to(mounted) and len(mounted) >= len(best[0]):
            best = (mounted, kind)
    return best[1]


def busy_share(seconds: float) -> float:
    """Which share of all cores was not idle during the next seconds."""
    total, idle = _processor_times()
    time.sleep(seconds)
    total_after, idle_after = _processor_times()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def _processor_times() -> tuple[int, int]:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def family(root: int) -> list[Usage]:
    """A process and its living descendants, the process itself first."""
    everyone = {usage.id: usage for usage in map(_usage, _process_ids()) if usage is not None}
    found = [root]
    for parent in found:
        found += sorted(usage.id for usage in everyone.values() if usage.parent == parent)
    return [everyone[member] for member in found if member in everyone]


def _process_ids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _usage(process: int) -> Usage | None:
    folder = Path("/proc") / str(process)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        status = _sizes(folder / "status", ("VmRSS:",))
        rollup = _sizes(folder / "smaps_rollup", ("Pss:",))
    except OSError:
        return None  # ended meanwhile, or not ours to look at
    return Usage(
        id=process,
        parent=int(fields[1]),
        title=title.strip(),
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        cpu_of_ended=(int(fields[13]) + int(fields[14])) / _TICKS,
        resident=status,
        proportional=rollup,
    )


def _sizes(file: Path, names: tuple[str, ...]) -> float:
    return sum(
        int(line.split()[1]) / 1024
        for line in file.read_text().splitlines()
        if line.startswith(names)
    )
