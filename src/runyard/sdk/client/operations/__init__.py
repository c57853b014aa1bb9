"""Every operation of the native API, once. Both clients get their methods from here.

Each module has the operations on one kind of thing, with the values that only they take; `addresses`
knows where in the API things stand.
"""

from runyard.sdk.client.operations.access import AccessOperations
from runyard.sdk.client.operations.callbacks import CallbackOperations
from runyard.sdk.client.operations.calls import CallOperations
from runyard.sdk.client.operations.companies import CompanyOperations
from runyard.sdk.client.operations.files import FileOperations
from runyard.sdk.client.operations.runs import RunOperations
from runyard.sdk.client.operations.schedules import ScheduleOperations
from runyard.sdk.client.operations.systems import SystemOperations
from runyard.sdk.client.operations.tasks import TaskOperations
from runyard.sdk.client.operations.upkeep import UpkeepOperations
from runyard.sdk.client.operations.workers import WorkerOperations


class Operations(
    CompanyOperations,
    AccessOperations,
    TaskOperations,
    CallOperations,
    RunOperations,
    FileOperations,
    CallbackOperations,
    ScheduleOperations,
    WorkerOperations,
    SystemOperations,
    UpkeepOperations,
):
    """The methods of both clients."""
