"""Producer of Celery tasks: threads that call `delay`. Usage: celery_side REDIS_URL --count ..."""

import time
from concurrent.futures import ThreadPoolExecutor

import redis  # type: ignore[import-not-found]

from benchmarks.peers import celery_app, measure


class CeleryOnRedis(measure.Peer):
    """Broker in database 0, results in database 1: their number is the number of finished tasks."""

    has_batches = False

    def __init__(self, url: str) -> None:
        celery_app.app.conf.update(broker_url=f"{url}/0", result_backend=f"{url}/1")
        self._results = redis.Redis.from_url(f"{url}/1")

    def start(self, count: int, producers: int) -> None:
        """One thread a producer."""
        if producers == 1:
            self._produce(count)
            return
        with ThreadPoolExecutor(producers) as threads:
            list(threads.map(self._produce, measure.shares(count, producers)))

    def _produce(self, count: int) -> None:
        for _ in range(count):
            celery_app.noop.delay()

    def start_batches(self, count: int, producers: int) -> None:
        """Celery sends every task on its own."""
        raise NotImplementedError

    def finished(self) -> int:
        """Every finished task has its result under a key of its own."""
        size: int = self._results.dbsize()
        return size

    def start_timed(self, address: str) -> None:
        """The clock starts before Celery's own encoding."""
        celery_app.timed.delay(time.monotonic_ns(), address)

    def close(self) -> None:
        """Nothing is held that the end of the process does not free."""
        self._results.close()


if __name__ == "__main__":
    plan = measure.plan_from_arguments()
    measure.measure(CeleryOnRedis(plan.url), plan)
