"""The company's figures, and those of the pool that it shares, in the text format of Prometheus."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runyard.dialects.integray import shapes
from runyard.dialects.integray.dialect import Dialect
from runyard.dialects.integray.wire import Totals, agent_shape, totals_of
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What monitoring reads."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def get_metrics(self, request: Request) -> Response:
        """Agents, their slots, the orchestrator, and task runs by task, for Prometheus. Other companies'
        figures are not among them.
        """
        request.query(shapes.NoQuery)
        engine, company = request.engine, request.company
        loads = {load.gate_id: load for load in await engine.tasks.loads(company)}
        stranded = await engine.reach.stranded(company)
        tasks = {
            task.name: totals_of([loads[task.gate_id]], stranded)
            for task in await engine.tasks.list(company)
            if task.gate_id in loads
        }
        views = await engine.workers.list(company)
        agents = [agent_shape(view, company.id) for view in views]
        is_runnable = (await engine.orchestrator.view(company)).runnable
        registry = CollectorRegistry()
        registry.register(_Figures(tasks, agents, is_runnable=is_runnable))
        return Response(generate_latest(registry), content_type=METRICS_TYPE)

    def routes(self) -> tuple[Route, ...]:
        """Where they stand as usual."""
        return (
            Route(
                method="GET",
                path="/{CompanySlug}/metrics",
                operation="getMetrics",
                title="Get metrics",
                permission=Permission.READ,
                endpoint=self.get_metrics,
                tag="Extensions",
                answer_media="text/plain",
            ),
        )


class _Figures(Collector):
    """The figures of one moment."""

    def __init__(
        self, tasks: dict[str, Totals], agents: list[shapes.Agent], *, is_runnable: bool
    ) -> None:
        self._tasks = tasks
        self._agents = agents
        self._is_runnable = is_runnable

    def collect(self) -> Iterable[Metric]:
        """All of them, as Prometheus has them."""
        online = [agent for agent in self._agents if agent.state in {"Online", "Busy"}]
        for name, text, value in (
            ("orchestrator_runnable", "1: task runs are picked up.", int(self._is_runnable)),
            ("agents", "Agents that serve the company.", len(self._agents)),
            ("agents_online", "Those of them that are online.", len(online)),
            ("slots", "Task runs that they execute at once.", sum(a.slots for a in online)),
            ("slots_busy", "Slots that are taken.", sum(a.busy_slots for a in online)),
        ):
            yield GaugeMetricFamily(f"runyard_remote_{name}", text, value=value)
        runs = GaugeMetricFamily(
            "runyard_remote_task_runs", "Task runs that have not ended.", labels=["task", "group"]
        )
        for task, totals in self._tasks.items():
            runs.add_metric([task, "In progress"], totals.running)
            runs.add_metric([task, "Scheduled"], totals.scheduled)
            runs.add_metric([task, "Parked"], totals.parked)
        yield runs
