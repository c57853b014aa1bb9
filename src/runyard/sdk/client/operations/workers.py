"""Workers."""

from runyard.protocol.shapes import workers as worker_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import Plan, all_pages, ask, delete, get, operation, post


class WorkerOperations(Addresses):
    """Workers."""

    @operation
    def workers(self) -> Plan[tuple[worker_shapes.Worker, ...]]:
        """The workers that serve the company; all that the token sees when the client has none."""
        return (yield from all_pages(get(self._path_or_all("workers")), worker_shapes.WorkerPage))

    @operation
    def worker(self, worker: Ref) -> Plan[worker_shapes.Worker]:
        """One worker."""
        return (yield from ask(get(self._path_or_all("workers", worker)), worker_shapes.Worker))

    @operation
    def allow_worker(self, worker: Ref) -> Plan[worker_shapes.Worker]:
        """Lets a worker execute runs, from now on."""
        return (
            yield from ask(
                post(self._path_or_all("workers", worker, "allow")), worker_shapes.Worker
            )
        )

    @operation
    def lock_worker(self, worker: Ref) -> Plan[worker_shapes.Worker]:
        """Keeps a worker out; its runs go to others."""
        return (
            yield from ask(post(self._path_or_all("workers", worker, "lock")), worker_shapes.Worker)
        )

    @operation
    def drain_worker(self, worker: Ref) -> Plan[worker_shapes.Worker]:
        """Gives a worker no further runs until it is allowed again."""
        return (
            yield from ask(
                post(self._path_or_all("workers", worker, "drain")), worker_shapes.Worker
            )
        )

    @operation
    def remove_worker(self, worker: Ref) -> Plan[None]:
        """Forgets a worker."""
        yield delete(self._path_or_all("workers", worker))
