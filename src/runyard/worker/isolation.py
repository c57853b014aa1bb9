"""What keeps a child away from everything that is not its own, and how much of it there is here.

Levels, from strong to weak; `docs/isolation.md` says what each one promises:

    contained   own user, no capabilities, files and signals confined by Landlock
    own-user    own user, no capabilities
    confined    the worker's user, files and signals confined by Landlock
    bare        a process of the worker's user; killable and limited, but not contained

Standard library only: children and zygotes load this.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import stat
from enum import StrEnum
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_NOSUID = 2
MS_NODEV = 4

CAP_CHOWN = 0
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
_CAPABILITY_VERSION = 0x20080522

FIRST_USER = 2_000_000
"""Users of children are numbers from here on, which no ordinary system gives to anybody."""
USERS_PER_WORKER = 512
WORKER_BLOCKS = 4096


class Level(StrEnum):
    """How well a child is kept apart."""

    CONTAINED = "contained"
    OWN_USER = "own-user"
    CONFINED = "confined"
    BARE = "bare"


class Isolation(NamedTuple):
    """What this machine allows."""

    own_users: bool
    landlock: int
    """The version of Landlock, 0 without it."""
    reasons: tuple[str, ...]
    """Why it is not more, for people."""

    @property
    def level(self) -> Level:
        """The level that children reach."""
        if self.own_users:
            return Level.CONTAINED if self.landlock else Level.OWN_USER
        return Level.CONFINED if self.landlock else Level.BARE

    @property
    def text(self) -> str:
        """The level, and why it is not a stronger one."""
        return ": ".join((self.level, "; ".join(self.reasons))) if self.reasons else self.level


def available() -> Isolation:
    """What can be had here; nothing is changed by asking."""
    reasons: list[str] = []
    landlock = landlock_version()
    if not landlock:
        reasons.append("the kernel has no Landlock (it needs Linux 5.13 and `lsm=landlock`)")
    own_users = _may_have_own_users(reasons)
    return Isolation(own_users, landlock, tuple(reasons))


def _may_have_own_users(reasons: list[str]) -> bool:
    if os.geteuid() != 0:
        reasons.append("the worker is not root, so that children share its user")
        return False
    held = _capabilities()
    if not all(held >> bit & 1 for bit in (CAP_CHOWN, CAP_KILL, CAP_SETGID, CAP_SETUID)):
        reasons.append("the worker is root without the capabilities to give children a user")
        return False
    if not _is_mapped(FIRST_USER + USERS_PER_WORKER * WORKER_BLOCKS):
        reasons.append("the user namespace of the worker has no users to spare")
        return False
    return True


def _capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _is_mapped(user: int) -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [tuple(map(int, line.split())) for line in file]
    return any(first <= user < first + count for first, _, count in ranges)


def first_user(worker_pid: int) -> int:
    """The first user for the children of this worker; two workers hardly share any."""
    return FIRST_USER + (worker_pid % WORKER_BLOCKS) * USERS_PER_WORKER


# ---------------------------------------------------------------- process control


def prctl(option: int, value: int = 0) -> None:
    """Set a property of this process; raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel signal this process when its parent ends; end now if it has ended already."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def adopt_descendants() -> None:
    """Let orphaned descendants of this process become its own children."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def become(user: int) -> None:
    """Give up root for this user, for good, with every capability."""
    _drop_bounds()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Changing users made the process unreadable even to itself (/proc/self/fd); all that may
    # look at it now are processes of its own user, and those are its own descendants.
    prctl(PR_SET_DUMPABLE, 1)


def renounce_capabilities() -> None:
    """Stay this user, without what makes root mighty; for good. Raises OSError."""
    if not _capabilities():
        return
    _drop_bounds()
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _call(_libc.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")


def _drop_bounds() -> None:
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM):
                return
            raise


def renounce_privileges() -> None:
    """No program that this process executes can have more rights than it has."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def limit(*, processes: int | None, open_files: int, file_size: int) -> None:
    """Bound what this process and its descendants can take of the machine."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_FSIZE, file_size)
    if processes is not None:
        _lower(resource.RLIMIT_NPROC, processes)
    try:
        # When memory runs out the kernel should choose a child, never the server.
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("800")
    except OSError:
        return


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


# ---------------------------------------------------------------- reachable for other users


SHARED_MEMORY = "/dev/shm"


def own_shared_memory(size: int, folder: str) -> None:
    """Give this process, and all it starts, shared memory of its own, which ends with them.

    The machine's is one folder for everybody, where files stay and fill the memory. Nothing
    changes where that is not allowed, or where the child's own folder lies in it.
    """
    if os.path.realpath(folder).startswith(f"{SHARED_MEMORY}/"):
        return
    if _libc.unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0:
        return
    try:
        _mount(None, "/", None, MS_REC | MS_PRIVATE)
        _mount("tmpfs", SHARED_MEMORY, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={size}")
    except OSError:
        return


def make_reachable(paths: tuple[str, ...]) -> None:
    """Let other users reach these folders, whatever stands above them, in this process only.

    An interpreter or a data folder below a private home folder is out of reach for a child of
    another user. In a mount namespace of its own, the zygote covers each such private folder
    with an empty one that holds just the wanted paths. Raises OSError where that is not allowed.
    """
    covers = _blocked_ancestors(paths)
    if not covers:
        return
    _call(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    for cover, inside in covers.items():
        _cover(cover, inside)


def _blocked_ancestors(paths: tuple[str, ...]) -> dict[str, list[str]]:
    covers: dict[str, list[str]] = {}
    for path in sorted({os.path.realpath(path) for path in paths}):
        blocked = _first_blocked(path)
        if blocked is not None:
            covers.setdefault(blocked, []).append(path)
    return covers


def _first_blocked(path: str) -> str | None:
    parts = path.strip("/").split("/")
    for count in range(1, len(parts)):
        above = "/" + "/".join(parts[:count])
        if not os.stat(above).st_mode & stat.S_IXOTH:
            return above
    return None


def _cover(cover: str, inside: list[str]) -> None:
    held = [(path, os.open(path, os.O_PATH), os.path.isdir(path)) for path in inside]
    _mount("tmpfs", cover, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path, descriptor, is_folder in held:
        if not os.path.exists(path):
            if is_folder:
                os.makedirs(path, 0o755)
            else:
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            _mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | MS_REC)
        os.close(descriptor)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    result = _libc.mount(
        source.encode() if source else None,
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode(),
    )
    _call(result, f"mount {target}")


def _call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


# ---------------------------------------------------------------- Landlock

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_BASE_ACCESS = (1 << 13) - 1
_READ_ACCESS = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_ACCESS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2

SYSTEM_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/proc"),
    *("/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/resolv.conf", "/etc/hosts"),
    *("/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols"),
    *("/etc/passwd", "/etc/group", "/etc/localtime", "/etc/timezone", "/etc/mime.types"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload"),
    *("/etc/alternatives", "/etc/fonts", "/etc/os-release", "/etc/magic", "/etc/locale.alias"),
    *("/sys/devices/system/cpu", "/run/systemd/resolve", "/opt"),
)
SYSTEM_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def landlock_version() -> int:
    """The version of Landlock that the kernel offers; 0 without it."""
    if platform.system() != "Linux":
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def confine(readable: tuple[str, ...], writable: tuple[str, ...]) -> None:
    """From now on only these paths exist for this process and all it starts. Raises OSError.

    Needs `renounce_privileges` first. Signals and abstract sockets stay inside, too, where the
    kernel knows how.
    """
    version = landlock_version()
    handled = _BASE_ACCESS
    handled |= _REFER if version >= 2 else 0
    handled |= _TRUNCATE if version >= 3 else 0
    handled |= _IOCTL_DEVICE if version >= 5 else 0
    scoped = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= 6 else 0
    attributes = _RulesetAttributes(handled, 0, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for path in (*SYSTEM_READABLE, *readable):
        _allow(ruleset, path, _READ_ACCESS & handled)
    for path in (*SYSTEM_WRITABLE, *writable):
        _allow(ruleset, path, handled)
    _call(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _FILE_ACCESS
        rule = _PathBeneath(access, descriptor)
        _call(
            _libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0),
            f"landlock rule for {path}",
        )
    finally:
        os.close(descriptor)
