"""What the operator chose for one worker, as plain values."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

MEBIBYTE = 1024 * 1024
DEFAULT_SLOTS = os.cpu_count() or 2


@dataclass(frozen=True, kw_only=True)
class ChildLimits:
    """What one child may take of the machine, with everything that it starts."""

    memory: int = 1024 * MEBIBYTE
    """Bytes; a run that takes more fails."""
    processes: int = 256
    """A run that starts more at once fails."""
    open_files: int = 1024
    """Descriptors of each process."""
    file_size: int = 2048 * MEBIBYTE
    """Bytes of each file that it writes."""
    scratch: int = 4096 * MEBIBYTE
    """Bytes of all files in its folder."""
    scratch_files: int = 200_000
    """How many files and folders there may be in it."""
    shared_memory: int = 256 * MEBIBYTE
    """Bytes in /dev/shm, where a child can have its own."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How one worker executes."""

    folder: Path
    """Where bundles, environments and scratch folders are kept."""
    slots: int = DEFAULT_SLOTS
    """How many runs execute at the same time."""
    name: str = "local"
    """Under which name the worker appears."""
    labels: tuple[str, ...] = ()
    """What tasks can require of it."""
    limits: ChildLimits = ChildLimits()
    """What one child may take."""
    warm_memory: int = 1024 * MEBIBYTE
    """Bytes that idle children may keep in use together; the least recently used leave first."""
    warm_children: int = 64
    """How many children there are at most, busy or idle, slots aside."""
    recycle_runs: int = 5000
    """After how many runs a child is replaced by a fresh one."""
    recycle_memory: int = 256 * MEBIBYTE
    """A child that keeps more bytes than this after a run is replaced by a fresh one."""
    drain: timedelta = timedelta(seconds=30)
    """How long running runs may go on when the worker stops."""
    inspection: timedelta = timedelta(seconds=60)
    """How long the import of a bundle's code may take."""
    build: timedelta = timedelta(minutes=15)
    """How long the building of an environment may take."""
    environments: int = 20
    """How many unused environments are kept for later."""
    bundles: int = 50
    """How many unpacked bundles that nothing uses are kept for later."""
    source_builds: bool = False
    """Whether packages without a wheel are built. Their build code would run with the worker's own
    rights, not with those of a child."""
    own_users: bool = True
    """Whether children get users of their own where that is possible (the worker is root)."""
    python: str = sys.executable
    """The interpreter whose version environments get."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for uv, such as the package index to use. Children never see them."""
