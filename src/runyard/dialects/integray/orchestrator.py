"""The orchestrator: the switch that lets a company's scheduled task runs be picked up."""

from runyard.dialects.integray import shapes
from runyard.dialects.integray.dialect import Dialect
from runyard.dialects.integray.wire import orchestrator_shape, totals_of
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Orchestrator"
_PATH = "/{CompanySlug}/orchestrator/status"


class Orchestrator:
    """Operations on the orchestrator."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def get_status(self, request: Request) -> Response:
        """Whether scheduled task runs are picked up, and how many task runs are where."""
        request.query(shapes.NoQuery)
        return await self._status(request)

    async def set_status(self, request: Request) -> Response:
        """`isRunnable` `true` activates the orchestrator, `false` deactivates it: once that is answered
        no new task run is picked up; those in progress go on, and starts are accepted and wait.
        Setting what is set already succeeds and changes nothing. POST does the same.
        """
        request.query(shapes.NoQuery)
        wanted = await self._dialect.json(request, shapes.SetRunnable)
        orchestrator = request.engine.orchestrator
        switch = orchestrator.resume if wanted.is_runnable else orchestrator.pause
        await switch(request.company, by=request.actor)
        return await self._status(request)

    async def _status(self, request: Request) -> Response:
        engine, company = request.engine, request.company
        view = await engine.orchestrator.view(company)
        totals = totals_of(await engine.tasks.loads(company), await engine.reach.stranded(company))
        changed_by = await engine.actors.name(view.changed_by)
        return self._dialect.answer(orchestrator_shape(company, view, totals, changed_by))

    def routes(self) -> tuple[Route, ...]:
        """Where they stand as usual."""
        return (
            Route(
                method="PUT",
                path=_PATH,
                operation="setOrchestratorStatus",
                title="Set status",
                permission=Permission.OPERATE,
                endpoint=self.set_status,
                tag=TAG,
                body=shapes.SetRunnable,
                answer=shapes.OrchestratorStatus,
            ),
            Route(
                method="GET",
                path=_PATH,
                operation="getOrchestratorStatus",
                title="Get status",
                permission=Permission.READ,
                endpoint=self.get_status,
                tag=TAG,
                answer=shapes.OrchestratorStatus,
            ),
        )
