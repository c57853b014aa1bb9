"""What the stores of both databases have in common: their tables."""

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
from runyard.stores.contract.preparations import Preparations
from runyard.stores.contract.queues import Queues
from runyard.stores.contract.runs import Runs
from runyard.stores.contract.schedules import Schedules
from runyard.stores.contract.systems import Systems
from runyard.stores.contract.tasks import Tasks
from runyard.stores.contract.tokens import Tokens
from runyard.stores.contract.users import Logins, Users
from runyard.stores.contract.workers import Workers
from runyard.stores.tables.allocations import AllocationTable
from runyard.stores.tables.at_once import AtOnceTable
from runyard.stores.tables.audit import AuditTable
from runyard.stores.tables.callbacks import CallbackTable
from runyard.stores.tables.calls import CallTable
from runyard.stores.tables.companies import CompanyTable
from runyard.stores.tables.credentials import ApiKeyTable, SigningKeyTable, TicketTable
from runyard.stores.tables.files import FileTable
from runyard.stores.tables.histories import HistoryTable
from runyard.stores.tables.leases import LeaseTable
from runyard.stores.tables.logins import LoginTable
from runyard.stores.tables.logs import LogTable
from runyard.stores.tables.pieces import Database, Statement, WriteClass, a_piece
from runyard.stores.tables.preparations import PreparationTable
from runyard.stores.tables.queues import QueueTable
from runyard.stores.tables.runs import RunTable
from runyard.stores.tables.schedules import ScheduleTable
from runyard.stores.tables.systems import SystemTable
from runyard.stores.tables.tasks import TaskTable
from runyard.stores.tables.tokens import TokenTable
from runyard.stores.tables.users import UserTable
from runyard.stores.tables.workers import WorkerTable


class TableStore:
    """A store as far as it is the same whatever database it is in."""

    def __init__(self, db: Database, logs: Database, blobs: Blobs) -> None:
        self._tables = db
        self.blobs = blobs
        self.runs: Runs = RunTable(db, logs, blobs)
        self.leases: Leases = LeaseTable(db, blobs)
        self.queues: Queues = QueueTable(db)
        self.histories: Histories = HistoryTable(db)
        self.tasks: Tasks = TaskTable(db)
        self.companies: Companies = CompanyTable(db)
        self.tokens: Tokens = TokenTable(db)
        self.users: Users = UserTable(db)
        self.logins: Logins = LoginTable(db)
        self.tickets: Tickets = TicketTable(db)
        self.api_keys: ApiKeys = ApiKeyTable(db)
        self.signing_keys: SigningKeys = SigningKeyTable(db)
        self.systems: Systems = SystemTable(db)
        self.workers: Workers = WorkerTable(db)
        self.schedules: Schedules = ScheduleTable(db, blobs)
        self.logs: Logs = LogTable(logs)
        self.files: Files = FileTable(db)
        self.callbacks: Callbacks = CallbackTable(db)
        self.audit: AuditLog = AuditTable(db)
        self.at_once: AtOnce = AtOnceTable(db)
        self.preparations: Preparations = PreparationTable(db)
        self.allocations: Allocations = AllocationTable(db)
        self.calls: Calls = CallTable(db, blobs)

    async def reserve_ids(self, count: int) -> int:
        """The first of `count` consecutive ids that nobody else gets, durably."""
        statement = Statement("reserve_ids", ((count,),))
        [[row]] = await self._tables.write(a_piece(WriteClass.OUTCOME, statement))
        return int(row[0])

    async def keep_key_mark(self, mark: bytes) -> bytes:
        """Keep what the installation's master key is told by, if nothing is kept; what is kept."""
        statement = Statement("keep_key_mark", ((mark,),))
        [[row]] = await self._tables.write(a_piece(WriteClass.OUTCOME, statement))
        return bytes(row[0])


async def digests_in_use(db: Database, digests: list[str]) -> set[str]:
    """Those of these that a row names: their blobs stay."""
    return {row[0] for row in await db.all("digests_in_use", digests=digests)}
