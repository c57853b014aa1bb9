"""Where a run stands in its gate's queue.

`rank = instant queued + priority x ageing`, in microseconds, fixed when the run is queued. Ageing
is how much later a run must be queued for each point of priority to go first all the same: waiting
thus raises a run without anything being rewritten. A very long ageing turns it off.
"""

from datetime import datetime, timedelta

from runyard.engine.clock import to_micros

DEFAULT_AGEING = timedelta(minutes=1)


def rank(queued_at: datetime, priority: int, ageing: timedelta) -> int:
    """The rank of a run that is queued at this instant, or becomes due then."""
    return to_micros(queued_at) + priority * (ageing // timedelta(microseconds=1))
