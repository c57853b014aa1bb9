"""The Store: a database that has been opened, with everything that it keeps."""

from datetime import datetime
from typing import Protocol

import msgspec

from runyard.stores.contract.at_once import AtOnce
from runyard.stores.contract.audit import AuditLog
from runyard.stores.contract.blobs import Blobs
from runyard.stores.contract.callbacks import Callbacks
from runyard.stores.contract.calls import Allocations, Calls
from runyard.stores.contract.companies import Companies
from runyard.stores.contract.credentials import ApiKeys, SigningKeys, Tickets
from runyard.stores.contract.files import Files
from runyard.stores.contract.histories import Histories
from runyard.stores.contract.leases import Leases
from runyard.stores.contract.logs import Logs
from runyard.stores.contract.peering import Peering
from runyard.stores.contract.preparations import Preparations
from runyard.stores.contract.queues import Queues
from runyard.stores.contract.runs import Runs
from runyard.stores.contract.schedules import Schedules
from runyard.stores.contract.systems import Systems
from runyard.stores.contract.tasks import Tasks
from runyard.stores.contract.tokens import Tokens
from runyard.stores.contract.users import Logins, Users
from runyard.stores.contract.workers import Workers


class StoreStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How the store is doing; for `doctor`, metrics and benchmarks."""

    kind: str
    """sqlite or postgres."""
    version: str
    schema_version: int
    groups: int
    """Transactions committed since it was opened."""
    pieces: int
    """Pieces of work in them."""
    waiting: int
    size: int
    """Bytes on disk."""


class Store(Protocol):
    """A database that has been opened."""

    runs: Runs
    leases: Leases
    queues: Queues
    histories: Histories
    tasks: Tasks
    companies: Companies
    tokens: Tokens
    users: Users
    logins: Logins
    tickets: Tickets
    api_keys: ApiKeys
    signing_keys: SigningKeys
    systems: Systems
    workers: Workers
    schedules: Schedules
    logs: Logs
    files: Files
    callbacks: Callbacks
    audit: AuditLog
    preparations: Preparations
    at_once: AtOnce
    allocations: Allocations
    calls: Calls
    blobs: Blobs
    incarnation: int
    """Rose durably when this store was opened; no two opens ever share one."""
    is_shared: bool
    """Whether other servers may use the same database at the same time (PostgreSQL)."""
    peering: Peering | None
    """How it reaches these; None exactly when the database is not shared."""

    async def reserve_ids(self, count: int) -> int:
        """The first of `count` consecutive ids that nobody else gets, durably."""

    async def keep_key_mark(self, mark: bytes) -> bytes:
        """Keep what the installation's master key is told by, if nothing is kept; what is kept."""

    async def database_now(self) -> datetime:
        """The database's clock (SQLite: this machine's)."""

    async def statistics(self) -> StoreStatistics:
        """How it is doing."""

    async def close(self) -> None:
        """Finish what is under way, then let go."""
