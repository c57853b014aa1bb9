"""The Celery application: late acknowledgement, results stored. Broker and results come from the command line."""

from celery import Celery  # type: ignore[import-not-found]

from benchmarks.peers.measure import report_start

app = Celery("bench")
app.conf.update(
    task_acks_late=True,
    task_ignore_result=False,
    result_expires=3600,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=16,
    worker_prefetch_multiplier=4,
)


@app.task(name="noop")  # type: ignore[untyped-decorator]
def noop() -> None:
    """Nothing."""


@app.task(name="timed")  # type: ignore[untyped-decorator]
def timed(sent_ns: int, address: str) -> None:
    """Tell when it began."""
    report_start(sent_ns, address)
