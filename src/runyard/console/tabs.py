"""The pages of one company, as the tabs above each of them lead to."""

from runyard.model.callbacks import CallbackState
from runyard.model.companies import Company
from runyard.web.requests import Request


async def tabs(request: Request, company: Company, tab: str) -> dict[str, object]:
    """What `company_tabs.html` shows: where one is, and where somebody is waited for."""
    engine = request.engine
    waiting = await engine.systems.waiting()
    dead = await engine.callbacks.page(company, CallbackState.DEAD, None, 1)
    return {"tab": tab, "waiting_systems": waiting.get(company.id, 0), "dead_callbacks": dead.total}
