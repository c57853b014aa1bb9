"""What the engine keeps in memory of companies, tasks, versions and gates.

On a database of our own every change passes through this process, which forgets what it changed,
so entries live for ever. On a shared one other servers change things too: entries live one second, less
when another server tells of a change, and everything that must be exact (openness, limits) is verified
by the claim itself.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import msgspec

from runyard.engine.clock import Clock
from runyard.model.companies import Company
from runyard.model.errors import CompanyNotFound, TaskNotFound, VersionNotFound
from runyard.model.ids import CompanyId, GateId, TaskId, VersionId, decode_public_id
from runyard.model.shapes import Shape, shape
from runyard.model.tasks import Gate, Task, Version
from runyard.stores.contract.store import Store

SHARED_LIFE = timedelta(seconds=1)
MOST_ENTRIES = 50_000
FRESH = timedelta(seconds=10)
"""For how long calls may go by what was last seen of the gates of a shared database: who closes one
waits so long for a server that does not say that it has seen it.
"""


class Directory:
    """Companies, tasks, versions and gates by the names that callers use."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._companies: dict[str, Company] = {}
        self._companies_by_id: dict[CompanyId, Company] = {}
        self._tasks: dict[tuple[CompanyId, str], Task] = {}
        self._versions: dict[VersionId, Version] = {}
        self._numbers: dict[tuple[TaskId, int], Version] = {}
        self._input_shapes: dict[VersionId, Shape] = {}
        self._output_shapes: dict[VersionId, Shape] = {}
        self.gates: dict[GateId, Gate] = {}
        self._read: dict[GateId, Gate] = {}
        """The gates as the database last showed them."""
        self._reading = asyncio.Lock()
        """Reads of gates follow one another: an older one must never replace a newer one."""
        self._closing: Counter[GateId] = Counter()
        """Gates that are being closed, with how many callers do so: taken for closed whatever the
        database still says."""
        self._fresh_until = 0.0 if store.is_shared else math.inf
        self._forget_at = clock.monotonic() + SHARED_LIFE
        self.changes = 0
        """Rises when companies or tasks are forgotten: what was found before may be otherwise now."""
        self.on_change: Callable[[], None] = _nothing
        """Called after something that is kept here was changed by this server."""

    async def open(self) -> None:
        """Load the gates."""
        await self.refresh_gates()

    async def refresh_gates(self) -> None:
        """Load all gates anew."""
        async with self._reading:
            began_at = self._clock.elapsed()
            self._read = {gate.id: gate for gate in await self._store.tasks.gates()}
            self.gates = {gate_id: self._seen(gate) for gate_id, gate in self._read.items()}
            if self._store.is_shared:
                self._fresh_until = began_at + FRESH.total_seconds()

    @property
    def is_fresh(self) -> bool:
        """Whether calls may go by the gates as they are known here."""
        return self._clock.elapsed() < self._fresh_until

    async def refresh_gate(self, gate_id: GateId) -> None:
        """Load one gate anew."""
        async with self._reading:
            gate = await self._store.tasks.gate(gate_id)
            if gate is not None:
                self._read[gate_id] = gate
                self.gates[gate_id] = self._seen(gate)

    @contextmanager
    def closing(self, gates: Iterable[GateId]) -> Iterator[None]:
        """Take these gates for closed while the database learns of it: from the first moment on
        nothing leaves for a worker any more. Afterwards they are what the database last showed:
        whoever has changed them reads them anew before.
        """
        closed = set(gates)
        self._closing.update(closed)
        self._show(closed)
        try:
            yield
        finally:
            self._closing.subtract(closed)
            self._closing = +self._closing
            self._show(closed)

    def _show(self, gates: Iterable[GateId]) -> None:
        for gate_id in gates:
            if (gate := self._read.get(gate_id)) is not None:
                self.gates[gate_id] = self._seen(gate)

    def _seen(self, gate: Gate) -> Gate:
        return msgspec.structs.replace(gate, runnable=False) if gate.id in self._closing else gate

    def gates_of(self, company: CompanyId) -> list[Gate]:
        """The gates of a company."""
        return [gate for gate in self.gates.values() if gate.company_id == company]

    async def company(self, slug: str) -> Company:
        """The company of this slug; raises CompanyNotFound."""
        self._expire()
        known = self._companies.get(slug)
        if known is None:
            known = await self._store.companies.find_by_slug(slug)
            if known is None:
                raise CompanyNotFound(f"there is no company {slug!r}")
            self._companies[slug] = self._companies_by_id[known.id] = known
        return known

    async def company_by_id(self, company: CompanyId) -> Company:
        """The company of this id; raises CompanyNotFound."""
        self._expire()
        known = self._companies_by_id.get(company)
        if known is None:
            known = await self._store.companies.find(company)
            if known is None:
                raise CompanyNotFound(f"there is no company {company}")
            self._companies[known.slug] = self._companies_by_id[company] = known
        return known

    async def task(self, company: CompanyId, ref: str) -> Task:
        """The task of this id, uuid, public id, key or name; raises TaskNotFound."""
        self._expire()
        known = self._tasks.get((company, ref))
        if known is None:
            known = await self._find_task(company, ref)
            if known is None:
                raise TaskNotFound(f"there is no task {ref!r}")
            if len(self._tasks) >= MOST_ENTRIES:
                self._tasks.clear()
            self._tasks[company, ref] = known
        return known

    async def task_by_id(self, company: CompanyId, task: TaskId) -> Task:
        """The task of this id; raises TaskNotFound."""
        return await self.task(company, str(task))

    async def version(self, version_id: VersionId) -> Version:
        """One version; raises VersionNotFound. Versions never change."""
        known = self._versions.get(version_id)
        if known is None:
            known = await self._store.tasks.version(version_id)
            if known is None:
                raise VersionNotFound(f"there is no version {version_id}")
            if len(self._versions) >= MOST_ENTRIES:
                self._versions.clear()
                self._input_shapes.clear()
                self._output_shapes.clear()
            self._versions[version_id] = known
        return known

    def version_at_hand(self, version_id: VersionId) -> Version | None:
        """The same, when it was asked for before."""
        return self._versions.get(version_id)

    async def numbered_version(self, task: Task, number: int) -> Version:
        """The version of a task that has this number; raises VersionNotFound."""
        known = self._numbers.get((task.id, number))
        if known is None:
            versions = await self._store.tasks.versions(task.company_id, task.id)
            known = next((version for version in versions if version.number == number), None)
            if known is None:
                raise VersionNotFound(f"task {task.name!r} has no version {number}")
            if len(self._numbers) >= MOST_ENTRIES:
                self._numbers.clear()
            self._numbers[task.id, number] = known
        return known

    async def input_shape(self, version_id: VersionId) -> Shape:
        """What the version's input must look like."""
        known = self._input_shapes.get(version_id)
        if known is None:
            version = await self.version(version_id)
            known = self._input_shapes[version_id] = shape(version.declaration.inputs)
        return known

    async def output_shape(self, version_id: VersionId) -> Shape:
        """What the version's output must look like."""
        known = self._output_shapes.get(version_id)
        if known is None:
            version = await self.version(version_id)
            known = self._output_shapes[version_id] = shape(version.declaration.outputs)
        return known

    def output_shape_at_hand(self, version_id: VersionId) -> Shape | None:
        """The same, when it was asked for before."""
        return self._output_shapes.get(version_id)

    def is_gate_open(self, gate_id: GateId) -> bool:
        """Whether calls may begin: nothing keeps this gate closed, and that is known well enough."""
        gate = self.gates.get(gate_id)
        return (gate is None or gate.is_open) and self._clock.elapsed() < self._fresh_until

    def has(self, company: Company, ref: str, task: Task) -> bool:
        """Whether these are the company, and its task of this name, as they are known now."""
        return (
            self._companies_by_id.get(company.id) is company
            and self._tasks.get((company.id, ref)) is task
        )

    def is_unchanged(self, changes: int) -> bool:
        """Whether companies and tasks are known as they were when `changes` was this."""
        self._expire()
        return self.changes == changes

    def forget(self) -> None:
        """Something was changed here: load everything but the versions anew when it is next asked for."""
        self.reload()
        self.on_change()

    def reload(self) -> None:
        """Load everything but the versions anew when it is next asked for."""
        self.changes += 1
        self._companies.clear()
        self._companies_by_id.clear()
        self._tasks.clear()

    def _expire(self) -> None:
        if not self._store.is_shared:
            return
        now = self._clock.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + SHARED_LIFE
            self.reload()

    async def _find_task(self, company: CompanyId, ref: str) -> Task | None:
        tasks = self._store.tasks
        found: Task | None = None
        if ref.isascii() and ref.isdigit() and len(ref) < 19:
            found = await tasks.find(company, TaskId(int(ref)))
        if found is None and len(ref) == 36:
            try:
                found = await tasks.find_by_uuid(company, UUID(ref))
            except ValueError:
                found = None
        if found is None and (raw := decode_public_id(ref)) is not None:
            found = await tasks.find_by_uuid(company, UUID(bytes=raw))
        if found is None:
            found = await tasks.find_by_name(company, ref)
        return found


def _nothing() -> None:
    """Before anybody cares."""
