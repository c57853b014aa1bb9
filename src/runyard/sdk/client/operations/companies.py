"""Companies, and their orchestrators."""

from typing import Literal

from runyard.protocol.shapes import companies as company_shapes
from runyard.protocol.shapes import tokens as token_shapes
from runyard.sdk.client.operations.addresses import Addresses, address
from runyard.sdk.client.requests import (
    Plan,
    all_pages,
    ask,
    get,
    operation,
    post,
    put,
    without_none,
)


class CompanyOperations(Addresses):
    """Companies, and their orchestrators."""

    @operation
    def companies(self) -> Plan[tuple[company_shapes.Company, ...]]:
        """All companies that the token sees."""
        return (yield from all_pages(get(address("companies")), company_shapes.CompanyPage))

    @operation
    def create_company(
        self, slug: str, *, name: str | None = None, time_zone: str | None = None
    ) -> Plan[company_shapes.Company]:
        """A new company. Needs a token of the installation."""
        body = without_none(slug=slug, name=name, time_zone=time_zone)
        return (yield from ask(post(address("companies"), body), company_shapes.Company))

    @operation
    def orchestrator(self) -> Plan[company_shapes.Orchestrator]:
        """The company's dispatch switch, and how many runs stand where."""
        return (yield from ask(get(self._path("orchestrator")), company_shapes.Orchestrator))

    @operation
    def pause(self) -> Plan[company_shapes.Orchestrator]:
        """Holds all queued runs of the company back. Begun ones go on."""
        return (yield from self._switch(runnable=False))

    @operation
    def resume(self) -> Plan[company_shapes.Orchestrator]:
        """Lets queued runs of the company start again."""
        return (yield from self._switch(runnable=True))

    def _switch(self, *, runnable: bool) -> Plan[company_shapes.Orchestrator]:
        request = put(self._path("orchestrator"), {"runnable": runnable})
        return ask(request, company_shapes.Orchestrator)

    @operation
    def remote_control(self) -> Plan[token_shapes.RemoteControl]:
        """Whether programs may steer the company through the Remote API, and with which token."""
        return (yield from ask(get(self._path("remote-control")), token_shapes.RemoteControl))

    @operation
    def allow_control(
        self, allow: Literal["token", "none"] = "token", *, role: str | None = None
    ) -> Plan[token_shapes.RemoteControl]:
        """Allows remote control with a new token, whose `secret` is in this answer alone, or not.

        The token before stops opening at once either way.
        """
        body = without_none(allow=allow, role=role)
        request = put(self._path("remote-control"), body)
        return (yield from ask(request, token_shapes.RemoteControl))
