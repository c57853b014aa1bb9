"""Named events and metrics: the one list of what Runyard logs and counts."""
