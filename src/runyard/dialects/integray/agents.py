"""Agents: the programs that execute task runs."""

from runyard.dialects.integray import shapes
from runyard.dialects.integray.dialect import Dialect
from runyard.dialects.integray.wire import agent_shape
from runyard.model.tokens import Permission
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Agent"


class Agents:
    """Operations on agents."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def get_agents(self, request: Request) -> Response:
        """All agents that execute task runs of the company, active and inactive ones, with what is known
        of each.
        """
        query = request.query(shapes.AgentsQuery)
        views = await request.engine.workers.list(request.company)
        agents = [agent_shape(view, request.company.id) for view in views]
        return self._dialect.answer(
            [agent for agent in agents if query.is_active in {None, agent.is_active}]
        )

    def routes(self) -> tuple[Route, ...]:
        """Where they stand as usual."""
        return (
            Route(
                method="GET",
                path="/{CompanySlug}/agents",
                operation="getAgents",
                title="Get agents",
                permission=Permission.READ,
                endpoint=self.get_agents,
                tag=TAG,
                query=shapes.AgentsQuery,
                answer=shapes.Agent,
                is_list=True,
            ),
        )
