"""Everything is struck, again and again, while callers call; then the history is held against the promises.

`make torture MINUTES=n` runs this at length and prints its figures; `test_torture.py` runs a short
form of it. Chance is seeded: the same seed strikes in the same order.
"""

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

from runyard.model.errors import NoWorker, RunyardError
from runyard.sdk.client import Client, NewSchedule
from runyard.sdk.client.shapes import Run
from tests.faults.convoy import Convoy, Part, Plan, convoy, is_alive
from tests.faults.evidence import (
    Evidence,
    Execution,
    Killed,
    Listener,
    Promise,
    Silence,
    breaches,
    now,
)
from tests.faults.load import COMPANY, all_runs, eventually, kill
from tests.support.postgres import DURABLE, NoPostgres, PostgresServer, private_postgres

CODE = Path(__file__).parent / "chores.py"
CALLERS = 3
WAITERS = 2
MOST_WAITING = 40
"""Runs that may not have begun yet before the callers wait a moment."""
PAUSE = 0.05
"""Seconds between two tries."""
PATIENCE = 120.0
DEATH = 5.0
"""Seconds in which everything that a dead process has started is dead too."""
LENGTHS = (0.0, 0.0, 0.05, 0.05, 0.4, 2.0)
TASKS = ("Chore",) * 12 + ("Single",) * 3 + ("Pair",) * 4 + ("Suicide",)


@dataclass
class Crowd:
    """Callers that start runs, and waiters that are told of their ends."""

    convoy: Convoy
    evidence: Evidence
    port: int
    chance: random.Random

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._gone = threading.Event()
        self._awaited: list[Promise] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        self._waiting = [threading.Thread(target=self._await) for _ in range(WAITERS)]

    @contextmanager
    def calling(self) -> Iterator[None]:
        """They call while the block lasts."""
        for thread in (*self._threads, *self._waiting):
            thread.start()
        try:
            yield
        finally:
            self.rest()
            self._gone.set()
            for thread in self._waiting:
                thread.join()

    def rest(self) -> None:
        """No further starts."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._over.is_set():
            if len(self.evidence.promises) - len(self.evidence.by_mark) > MOST_WAITING:
                self._over.wait(PAUSE)
                continue
            mark = f"m{next(self._numbers)}"
            task, seconds = self.chance.choice(TASKS), self.chance.choice(LENGTHS)
            self.evidence.asked[mark] = task
            while mark not in self.evidence.promises and not self._over.is_set():
                self._ask(mark, task, seconds)

    def _ask(self, mark: str, task: str, seconds: float) -> None:
        values: dict[str, object] = {"mark": mark, "port": self.port}
        if task != "Suicide":
            values["seconds"] = seconds
        try:
            with self._somebody() as client:
                started = client.start(task, values, key=mark)
        except RunyardError as problem:
            self.evidence.refusals[type(problem).__name__] += 1
            self._over.wait(PAUSE)
            return
        promise = Promise(mark, task, started.id)
        self.evidence.promises[mark] = promise
        if task != "Suicide" and self.chance.random() < 0.3:
            self._awaited.append(promise)

    def _await(self) -> None:
        while not self._gone.is_set():
            try:
                promise = self._awaited.pop()
            except IndexError:
                self._gone.wait(PAUSE)
                continue
            try:
                with self._somebody() as client:
                    run = client.wait(promise.run, timedelta(seconds=2))
            except RunyardError:
                self._gone.wait(PAUSE)
                run = None
            if run is not None and run.has_succeeded:
                promise.ended_at = now()
            elif run is None or not run.is_final:
                self._awaited.insert(0, promise)

    def _somebody(self) -> Client:
        return self.convoy.client(self.chance.randrange(len(self.convoy.urls)))


class Striker:
    """Strikes, and measures how long it takes until all is as before."""

    def __init__(self, convoy: Convoy, evidence: Evidence, chance: random.Random) -> None:
        self._convoy = convoy
        self._evidence = evidence
        self._chance = chance
        self._lease = float(convoy.plan.lease.removesuffix("s"))
        self.troubles: list[str] = []
        """What was seen that no promise allows."""

    def strikes(self) -> dict[str, Callable[[], None]]:
        """What may be done to this convoy."""
        found: dict[str, Callable[[], None]] = {
            "server killed": self.kill_server,
            "server stopped for a moment": lambda: self.freeze_server(self._lease / 4),
            "child killed": self.kill_child,
            "paused and resumed": self.pause,
            "task closed and opened": self.close_task,
            "task killed": self.kill_task,
        }
        if self._convoy.workers:
            found |= {
                "worker killed": self.kill_worker,
                "worker stopped beyond its lease": self.freeze_worker,
                "connection cut": self.cut,
                "connection silent beyond its lease": lambda: self.silence(self._lease * 1.3),
                "connection silent within its lease": lambda: self.silence(self._lease / 3),
            }
        if self._convoy.postgres is not None:
            found |= {
                "database restarted": lambda: self.restart_database("stop"),
                "database crashed": lambda: self.restart_database("crash"),
                "database connections ended": self.end_connections,
                "server stopped beyond the lease": lambda: self.freeze_server(self._lease * 1.2),
            }
        return found

    def strike(self, name: str) -> None:
        """Do one of these, and wait until work goes on."""
        self._evidence.strikes[name] += 1
        self.strikes()[name]()
        self._until_work_goes_on(name)

    # ---------------------------------------------------------------- processes

    def kill_server(self) -> None:
        number = self._chance.randrange(len(self._convoy.servers))
        server = self._convoy.servers[number]
        family = server.family()
        interrupted = self._evidence.under_way(family)
        struck = now()
        server.kill()
        self._all_die("server", family)
        if len(self._convoy.servers) > 1:
            time.sleep(self._chance.uniform(0.0, self._lease / 2))
        server.start()
        self._convoy.until_ready(number)
        self._recovered("server death, its runs", struck, interrupted)

    def kill_worker(self) -> None:
        worker = self._chance.choice(self._convoy.workers)
        family = worker.family()
        interrupted = self._evidence.under_way(family)
        struck = now()
        worker.kill()
        self._all_die("worker", family)
        self._recovered("worker death, its runs", struck, interrupted)
        worker.start()

    def kill_child(self) -> None:
        busy = [e.process for e in self._evidence.under_way(self._everybody())]
        if busy:
            kill(self._chance.choice(busy))

    def freeze_server(self, seconds: float) -> None:
        server = self._chance.choice(self._convoy.servers)
        self._freeze(server, seconds)

    def freeze_worker(self) -> None:
        worker = self._chance.choice(self._convoy.workers)
        self._freeze(worker, self._lease * 1.3)

    def _freeze(self, part: Part, seconds: float) -> None:
        struck = now()
        part.freeze()
        cut = self._evidence.under_way(part.family())
        for execution in cut:
            execution.cut_at = struck
        time.sleep(seconds)
        part.thaw()

    # ---------------------------------------------------------------- connections

    def cut(self) -> None:
        for cable in self._chance.choice(self._convoy.workers).cables:
            cable.cut()

    def silence(self, seconds: float) -> None:
        cables = self._chance.choice(self._convoy.workers).cables
        for cable in cables:
            cable.silence()
        time.sleep(seconds)
        for cable in cables:
            cable.speak()

    # ---------------------------------------------------------------- the database

    def restart_database(self, how: str) -> None:
        postgres = self._convoy.postgres
        assert postgres is not None
        postgres.stop() if how == "stop" else postgres.crash()
        time.sleep(self._chance.uniform(0.0, 1.0))
        postgres.start()

    def end_connections(self) -> None:
        assert self._convoy.postgres is not None
        assert self._convoy.dsn is not None
        self._convoy.postgres.terminate_connections(self._convoy.dsn)

    # ---------------------------------------------------------------- what people do

    def pause(self) -> None:
        with self._convoy.any_client() as client:
            try:
                client.pause()
            except RunyardError:
                client.resume()
                return
            silence = Silence(now(), None)
            self._evidence.silences.append(silence)
            time.sleep(self._chance.uniform(0.2, 1.0))
            silence.until = now()
            client.resume()

    def close_task(self) -> None:
        with self._convoy.any_client() as client:
            try:
                client.set_runnable("Chore", False)  # noqa: FBT003 - it is the value
            except RunyardError:
                client.set_runnable("Chore", True)  # noqa: FBT003 - it is the value
                return
            silence = Silence(now(), frozenset({"Chore"}))
            self._evidence.silences.append(silence)
            time.sleep(self._chance.uniform(0.2, 1.0))
            silence.until = now()
            client.set_runnable("Chore", True)  # noqa: FBT003 - it is the value

    def kill_task(self) -> None:
        with self._convoy.any_client() as client:
            report = client.kill_task("Pair")
        self._evidence.kills.append(Killed(now(), report.killed))

    # ---------------------------------------------------------------- what comes of it

    def _everybody(self) -> list[int]:
        parts = (*self._convoy.servers, *self._convoy.workers)
        return [pid for part in parts for pid in part.family()]

    def _all_die(self, what: str, family: Sequence[int]) -> None:
        deadline = time.monotonic() + DEATH
        while alive := [pid for pid in family if is_alive(pid)]:
            if time.monotonic() > deadline:
                self.troubles.append(f"processes {alive} outlive their {what}")
                return
            time.sleep(0.01)

    def _recovered(self, what: str, struck: float, interrupted: Sequence[Execution]) -> None:
        """Note when each of these runs began again."""
        for execution in interrupted:
            if self._evidence.asked.get(execution.mark) == "Suicide" or execution.has_ended:
                continue
            begun = self._next_begin(execution, struck)
            if begun is not None:
                self._evidence.recoveries[what].append(begun - struck)

    def _next_begin(self, execution: Execution, struck: float) -> float | None:
        deadline = time.monotonic() + self._lease * 3 + 30
        while time.monotonic() < deadline:
            later = [e for e in self._evidence.of(execution.mark) if e.begun_at > struck]
            if later:
                return later[0].begun_at
            time.sleep(0.02)
        self.troubles.append(f"{execution.mark} did not begin again")
        return None

    def _until_work_goes_on(self, name: str) -> None:
        struck = now()
        promised = len(self._evidence.promises)

        def goes_on() -> bool:
            newest = next(reversed(self._evidence.executions.values()), None)
            has_begun = newest is not None and newest.begun_at > struck
            return len(self._evidence.promises) > promised and has_begun

        eventually(goes_on, f"after {name!r} nothing goes on")
        self._evidence.recoveries[f"{name}, work goes on"].append(now() - struck)


@dataclass
class Figures:
    """What came of it."""

    evidence: Evidence
    runs: list[Run]
    breaches: list[str]

    def lines(self) -> Iterator[str]:
        """As a person reads them."""
        succeeded = sum(run.has_succeeded for run in self.runs)
        kinds = {
            word: [b for b in self.breaches if b.startswith(word)] for word in ("R1", "R2", "R5")
        }
        yield f"acknowledged                          {len(self.evidence.promises)}"
        yield f"refused and asked again               {self.evidence.refusals.total()}"
        yield f"completed                             {succeeded}"
        yield f"executions                            {len(self.evidence.executions)}"
        yield f"lost                                  {len(kinds['R1'])}"
        yield f"executed after a recorded completion  {len(kinds['R5'])}"
        yield f"stuck                                 {len(kinds['R2'])}"
        yield f"all broken promises                   {len(self.breaches)}"
        for name, count in sorted(self.evidence.strikes.items()):
            yield f"strikes: {name:<40} {count}"
        for name, seconds in sorted(self.evidence.recoveries.items()):
            yield (
                f"recovery: {name:<52} p50 {median(seconds):6.2f} s,"
                f" max {max(seconds):6.2f} s ({len(seconds)})"
            )


def torture(
    folder: Path, plan: Plan, postgres: PostgresServer | None, *, seconds: float, seed: int
) -> Figures:
    """Strike for so long, then hold what happened against what was promised."""
    evidence = Evidence()
    chance = random.Random(seed)
    with Listener(evidence) as listener, convoy(folder, plan, postgres) as parts:
        prepare(parts, listener.port)
        striker = Striker(parts, evidence, chance)
        crowd = Crowd(parts, evidence, listener.port, random.Random(seed + 1))
        with crowd.calling():
            for name in _order(striker, chance, seconds):
                time.sleep(chance.uniform(0.1, 0.6))
                striker.strike(name)
            crowd.rest()
            runs = conclude(parts, evidence)
        found = [*striker.troubles, *breaches(evidence, runs), *diagnosed(parts)]
    return Figures(evidence, runs, found)


def _order(striker: Striker, chance: random.Random, seconds: float) -> Iterator[str]:
    """Each strike once, in a random order, and so again until time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        names = sorted(striker.strikes())
        chance.shuffle(names)
        for name in names:
            if time.monotonic() < deadline:
                yield name


def prepare(parts: Convoy, port: int) -> None:
    """Make the company, deploy the tasks, and let a schedule fire each second."""
    with parts.any_client() as client:
        client.create_company(COMPANY)
        deploy(client)
        client.create_schedule(
            NewSchedule(
                task="Tick", name="tick", interval=timedelta(seconds=1), input={"port": port}
            )
        )


def deploy(client: Client) -> None:
    """Deploy the tasks, once a worker is there that can look into them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.deploy(CODE)
        except NoWorker:
            assert time.monotonic() < deadline, "no worker comes"
            time.sleep(PAUSE)
        else:
            return


def conclude(parts: Convoy, evidence: Evidence) -> list[Run]:
    """Let everything come to its end; all runs as they are then."""
    with parts.any_client() as client:
        client.enable_schedule("tick", False)  # noqa: FBT003 - it is the value
        deadline = time.monotonic() + PATIENCE
        for promise in list(evidence.promises.values()):
            left = max(deadline - time.monotonic(), 0.1)
            client.wait(promise.run, timedelta(seconds=left))
        return list(all_runs(client))


def diagnosed(parts: Convoy) -> list[str]:
    """What the doctor finds in the end."""
    with parts.any_client() as client:
        return [f"doctor: {c.name}: {c}" for c in client.doctor().checks if not c.ok]


ON_SQLITE = Plan(servers=1, workers=1)
ON_POSTGRES = Plan(servers=2, workers=2, slots=0)


def main(words: Sequence[str] | None = None) -> int:
    """Torture both databases for the given minutes; 0 when every promise held."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    chosen = parser.parse_args(words)
    print(f"seed {chosen.seed}")  # noqa: T201 - what this program is for
    broken = 0
    for name, plan, has_postgres in (
        ("SQLite, a server with a worker in it and a worker of its own", ON_SQLITE, False),
        ("PostgreSQL, two servers and two workers", ON_POSTGRES, True),
    ):
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            try:
                postgres = opened.enter_context(private_postgres(DURABLE)) if has_postgres else None
            except NoPostgres as problem:
                print(f"{name}: left out, {problem}")  # noqa: T201
                continue
            seconds = chosen.minutes * 30  # half of the time each
            figures = torture(folder, plan, postgres, seconds=seconds, seed=chosen.seed)
        print("", name, *figures.lines(), *figures.breaches[:20], sep="\n")  # noqa: T201
        broken += len(figures.breaches)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
