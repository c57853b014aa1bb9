"""What is counted of the runs behind a gate."""

import msgspec

from runyard.model.ids import GateId

MOST_BEFORE = 250
"""So many runs, at most, are counted that go before one."""


class GateCount(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind a gate."""

    gate_id: GateId
    queued: int
    leased: int


class GateLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of one gate are where."""

    gate_id: GateId
    scheduled: int
    """Due later, never begun."""
    queued: int
    """Never begun."""
    assigned: int
    """On their way to a worker, never begun."""
    begun: int
    """Begun and not ended, between two attempts too."""
    parked: int = 0
    preparing: int = 0
