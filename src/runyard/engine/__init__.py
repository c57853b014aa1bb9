"""The verbs: transitions, dispatch, leases, schedules and everything else that decides."""
