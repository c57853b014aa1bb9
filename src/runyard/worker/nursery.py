"""Making children: which zygote forks them, which user and folders they get."""

import asyncio
import itertools
import os
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from runyard.worker import isolation
from runyard.worker.child import Audience, Child
from runyard.worker.environments import Environment
from runyard.worker.lanes import Supply
from runyard.worker.packets import ChildSpec
from runyard.worker.removal import remove_tree
from runyard.worker.settings import WorkerSettings
from runyard.worker.shortage import OUT_OF, NoProcess, Shortage
from runyard.worker.zygote import Told, Zygote

START_DURATION = timedelta(seconds=60)
"""A zygote that has not said in this time that it is ready never will."""


SPARE_USERS = 64
"""Users beyond those of all children at once, for children that are still dying."""


class ZygoteNotStarted(Exception):
    """The worker cannot execute anything here."""


class Nursery:
    """All zygotes and children of a worker."""

    def __init__(
        self,
        settings: WorkerSettings,
    ) -> None:
        self.isolation = isolation.available()
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._scratch = settings.folder / "scratch" / str(os.getpid())
        self.shortage = Shortage(self._loop)
        self._zygotes: dict[str, Zygote] = {}
        self._children: dict[int, Child] = {}
        self._numbers = itertools.count(1)
        first = isolation.first_user(os.getpid())
        most = settings.warm_children + 2 * settings.slots + SPARE_USERS
        self._users = list(range(first, first + max(most, isolation.USERS_PER_WORKER)))
        self._prepare_folders()

    def _prepare_folders(self) -> None:
        self._settings.folder.chmod(0o755)
        base = self._scratch.parent
        base.mkdir(parents=True, exist_ok=True)
        for left in base.iterdir():
            if not left.name.isdigit() or not os.path.exists(f"/proc/{left.name}"):
                remove_tree(left)
        self._scratch.mkdir(parents=True, exist_ok=True)

    @property
    def children(self) -> dict[int, Child]:
        """Every child, by its number."""
        return self._children

    def staging(self, name: str) -> Path:
        """A folder for what a run needs until its child is known; not made yet."""
        return self._scratch / f"staged-{name}"

    @property
    def zygotes(self) -> tuple[Zygote, ...]:
        """Every zygote."""
        return tuple(self._zygotes.values())

    async def warm(self, environment: Environment) -> None:
        """Have this environment's zygote ready, and learn from it what isolation there is.

        Raises ZygoteNotStarted.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            zygote = self._zygote(environment)
        except OSError as error:
            raise ZygoteNotStarted(f"{environment.python} cannot be started: {error}") from error
        zygote.when_ready(lambda: ready.set_result(None))
        try:
            async with asyncio.timeout(START_DURATION.total_seconds()):
                await ready
        except TimeoutError:
            raise ZygoteNotStarted(f"{environment.python} did not start") from None
        reasons = self.isolation.reasons
        if self.isolation.own_users and not zygote.own_users:
            reasons = (*reasons, zygote.detail or "the worker is told not to use other users")
        self.isolation = self.isolation._replace(own_users=zygote.own_users, reasons=reasons)

    def start(self, supply: Supply, audience: Audience) -> Child:
        """A new child; it can be sent packets at once, though it comes to life a little later.

        Raises NoProcess, and OSError where its folders cannot be made.
        """
        number = next(self._numbers)
        folder = self._scratch / str(number)
        try:
            zygote = self._zygote(supply.environment)
            _make_folders(folder)
            child = Child(number, zygote, folder, audience)
        except OSError as error:
            remove_tree(folder)
            if error.errno not in OUT_OF:
                raise
            reason = _no_process(error.strerror or str(error))
            self.shortage.met(reason)
            raise NoProcess(reason) from error
        self._children[number] = child
        zygote.when_ready(lambda: self._fork(child, supply))
        return child

    def kill(self, child: Child) -> None:
        """End a child with all that it started; `died` is called when all of it is dead."""
        child.is_given_up = True
        if child.is_handed_over:
            child.zygote.kill(child.number)
        else:  # its zygote is not ready, and is not going to be asked for it
            self._loop.call_soon(self._exited, child.number, -signal.SIGKILL)

    def close(self) -> None:
        """End everything."""
        self.shortage.close()
        for zygote in self.zygotes:
            zygote.close()
        self._zygotes.clear()
        for child in tuple(self._children.values()):
            child.close()
        self._children.clear()
        remove_tree(self._scratch)

    def _zygote(self, environment: Environment) -> Zygote:
        zygote = self._zygotes.get(environment.name)
        if zygote is None:
            wanted = self._settings.own_users and self.isolation.own_users
            zygote = self._zygotes[environment.name] = Zygote(
                environment,
                reachable=(*environment.readable, str(self._settings.folder)),
                own_users=wanted,
                told=Told(self._was_forked, self._not_forked, self._exited, self._zygote_gone),
            )
        return zygote

    def _fork(self, child: Child, supply: Supply) -> None:
        if child.number not in self._children or child.is_given_up:
            return
        if child.zygote.own_users:
            child.user = self._users.pop()  # never none: a child of root is root
        try:
            spec = self._spec(child, supply)
            child.zygote.fork(child.number, spec, child.hand_over())
        except OSError as error:  # not at once: whoever has started it does not know it yet
            self._loop.call_soon(self._not_forked, child.number, error.strerror or str(error))
        else:
            child.handed_over()

    def _spec(self, child: Child, supply: Supply) -> ChildSpec:
        run, files = child.folder / "run", child.folder / "files"
        if child.user is not None:
            os.chown(run, child.user, child.user)
            os.chown(files, 0, child.user)
        limits = self._settings.limits
        return ChildSpec(
            folder=str(run),
            files=str(files),
            bundle=str(supply.bundle),
            readable=supply.environment.readable,
            user=child.user,
            landlock=bool(self.isolation.landlock),
            processes=kernel_limit(limits.processes),
            open_files=limits.open_files,
            file_size=limits.file_size,
            shared_memory=limits.shared_memory,
            environment={
                "HOME": str(run),
                "LANG": "C.UTF-8",
                "PATH": _search_path(supply.environment),
                "TMPDIR": str(run),
            },
        )

    def _was_forked(self, number: int, pid: int) -> None:
        child = self._children.get(number)
        self.shortage.eased()
        if child is not None:
            child.pid = pid

    def _not_forked(self, number: int, reason: str) -> None:
        child = self._children.get(number)
        if child is not None:
            child.unborn = _no_process(reason)
            self.shortage.met(child.unborn)
            self._exited(number, -signal.SIGKILL)

    def _exited(self, number: int, code: int) -> None:
        child = self._children.pop(number, None)
        if child is None:
            return
        child.read_last()
        child.audience.died(child, code)
        self._forget(child)
        if child.zygote.environment.with_site:
            self._dismiss(child.zygote)

    def _dismiss(self, zygote: Zygote) -> None:
        """End a zygote that has no children any more, unless it has ended by itself."""
        name = zygote.environment.name
        is_last = all(child.zygote is not zygote for child in self._children.values())
        if is_last and self._zygotes.get(name) is zygote:
            del self._zygotes[name]
            zygote.close()

    def _forget(self, child: Child) -> None:
        if child.user is not None:
            self._users.insert(0, child.user)
        child.close()
        try:  # not here: a task may have left a million files
            self._loop.run_in_executor(None, remove_tree, child.folder)
        except RuntimeError:  # there is no thread for it
            remove_tree(child.folder)

    def _zygote_gone(self, zygote: Zygote) -> None:
        """A zygote died, and its children with it: as if each had been killed from outside."""
        if self._zygotes.get(zygote.environment.name) is zygote:
            del self._zygotes[zygote.environment.name]
        for child in tuple(self._children.values()):
            if child.zygote is zygote:
                self._end_strays(child)
                self._exited(child.number, -signal.SIGKILL)

    def _end_strays(self, child: Child) -> None:
        """Kill what a child left behind when there is no zygote any more to adopt it."""
        for entry in os.listdir("/proc"):
            if entry.isdigit() and entry != str(os.getpid()):
                with suppress(OSError):
                    if _belongs_to(entry, child):
                        os.kill(int(entry), signal.SIGKILL)


def _belongs_to(pid: str, child: Child) -> bool:
    """Whether a process comes from this child, by its user, its folder or its environment."""
    if child.user is not None:
        return os.stat(f"/proc/{pid}").st_uid == child.user
    folder = str(child.folder)
    if os.readlink(f"/proc/{pid}/cwd").startswith(folder):
        return True
    with open(f"/proc/{pid}/environ", "rb") as file:
        return folder.encode() in file.read()


def _no_process(reason: str) -> str:
    return f"no process could be made for it: {reason}"


def _make_folders(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o711)
    (folder / "run").mkdir(0o700)
    (folder / "files").mkdir(0o750)


def kernel_limit(processes: int) -> int:
    """Processes and threads that the kernel lets a child have: room for the watch to see more
    processes than are allowed, and to say so, before the kernel refuses them."""
    return processes + processes // 2 + 64


def _search_path(environment: Environment) -> str:
    folders = ["/usr/local/bin", "/usr/bin", "/bin"]
    if environment.with_site:
        folders.insert(0, str(Path(environment.python).parent))
    return ":".join(folders)
