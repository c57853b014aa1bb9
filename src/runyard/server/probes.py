"""What machines ask of a server itself: does it live, is it ready, what are its numbers."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from runyard.engine.engine import EngineStatistics
from runyard.model.errors import RunyardError
from runyard.model.tokens import Permission
from runyard.web.house import House
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


async def is_alive(request: Request) -> Response:
    """Say that the server's loop turns."""
    return Response(b'{"alive":true}')


async def is_ready(request: Request) -> Response:
    """Say whether requests should be sent here: the database answers, and nothing is stopping."""
    try:
        request.house.refuse_while_stopping()
        await request.engine.statistics()
    except RunyardError:
        return Response(b'{"ready":false}', status=503)
    return Response(b'{"ready":true}')


async def show_metrics(request: Request) -> Response:
    """Show the numbers of this server in the text format of Prometheus."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Numbers(await request.engine.statistics(), request.house))
    return Response(generate_latest(registry), content_type=METRICS_TYPE)


class _Numbers(Collector):
    """The numbers of one moment."""

    def __init__(self, statistics: EngineStatistics, house: House) -> None:
        self._statistics = statistics
        self._house = house

    def collect(self) -> Iterable[Metric]:
        """All of them, as Prometheus has them."""
        yield from self._gauges()
        store = self._statistics.store
        yield _counter("runyard_store_groups", "Transactions committed.", store.groups)
        yield _counter("runyard_store_pieces", "Pieces of work in them.", store.pieces)
        told, failed = self._statistics.callbacks_delivered, self._statistics.callbacks_failed
        yield _counter("runyard_callbacks_delivered", "Callbacks answered 2xx.", told)
        yield _counter("runyard_callbacks_failed", "Tries of callbacks that failed.", failed)
        answers = CounterMetricFamily(
            "runyard_http_answers", "Answers by route and status.", labels=["route", "status"]
        )
        for (route, status), count in self._house.answered.items():
            answers.add_metric([route, str(status)], count)
        yield answers
        shortened = CounterMetricFamily(
            "runyard_http_short", "Requests that took a short way, by route.", labels=["route"]
        )
        for route, count in self._house.shortened.items():
            shortened.add_metric([route], count)
        yield shortened

    def _gauges(self) -> Iterable[Metric]:
        numbers = self._statistics
        for name, help_text, value in (
            ("runyard_workers", "Workers connected here.", numbers.workers),
            ("runyard_slots", "Their slots.", numbers.slots),
            ("runyard_held_runs", "Runs that they hold.", numbers.held_runs),
            ("runyard_store_waiting", "Pieces that wait to be written.", numbers.store.waiting),
            ("runyard_store_bytes", "Size of the database.", numbers.store.size),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


ROUTES = (
    Route(
        method="GET", path="/healthz", permission=Permission.PUBLIC, endpoint=is_alive, tag="probes"
    ),
    Route(
        method="GET", path="/readyz", permission=Permission.PUBLIC, endpoint=is_ready, tag="probes"
    ),
    Route(
        method="GET",
        path="/metrics",
        permission=Permission.MONITOR,
        endpoint=show_metrics,
        tag="probes",
    ),
)
