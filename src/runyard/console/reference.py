"""API reference pages: every endpoint and schema of an API, and a form that sends requests to it.

The pages show the OpenAPI documents that the doors answer themselves, in Stoplight Elements, which
this server serves as well. They are public, as the documents are: they know nothing but what stands
in a document and in their own address, so no page tells whether a company exists. What a reader
types in as a token is sent to this server alone and forgotten with the page (see reference.js).
"""

import re
from collections.abc import Mapping, Sequence

from runyard import __version__
from runyard.console.problems import page_form
from runyard.console.rendering import render
from runyard.model.tokens import Permission
from runyard.web.asgi import App
from runyard.web.door import Door
from runyard.web.errors import RouteNotFound
from runyard.web.house import House
from runyard.web.pages import Page, policy
from runyard.web.references import Reference
from runyard.web.requests import Request
from runyard.web.routing import Endpoint, Route

PREFIX = "/console/reference"

# Elements builds its styles as it draws. Everything else stays as strict as on every other page.
SECURITY = policy(style_src="'self' 'unsafe-inline'")

_FILLED_IN = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""What of an address is taken over into a page; a slug always is."""


class ReferencePages:
    """The pages of these APIs."""

    def __init__(self, references: Sequence[Reference]) -> None:
        self._references = {reference.name: reference for reference in references}

    async def list_references(self, request: Request) -> Page:
        """Show which APIs this server has."""
        return Page(render("references.html", references=tuple(self._references.values())))

    async def show_reference(self, request: Request) -> Page:
        """Show the reference of one API."""
        reference = self._references.get(request.params["dialect"])
        if reference is None:
            raise RouteNotFound
        return self._page(reference, {})

    def routes(self) -> list[Route]:
        """All addresses."""
        pages = [
            _route(PREFIX, self.list_references),
            _route(f"{PREFIX}/{{dialect}}", self.show_reference),
        ]
        pages += [
            _route(reference.address, self._filled_in(reference))
            for reference in self._references.values()
            if reference.address is not None
        ]
        return pages

    def _filled_in(self, reference: Reference) -> Endpoint:
        async def show_filled_in_reference(request: Request) -> Page:
            """Show the reference of one API with parameters from the page's own address."""
            if not all(_FILLED_IN.fullmatch(value) for value in request.params.values()):
                raise RouteNotFound
            return self._page(reference, request.params)

        return show_filled_in_reference

    def _page(self, reference: Reference, filled_in: Mapping[str, str]) -> Page:
        html = render(
            "reference.html",
            reference=reference,
            references=tuple(self._references.values()),
            prefilled={**reference.prefilled, **filled_in},
            version=__version__,
        )
        return Page(html, security=SECURITY)


def _route(path: str, endpoint: Endpoint) -> Route:
    return Route(
        method="GET", path=path, permission=Permission.PUBLIC, endpoint=endpoint, tag="pages"
    )


def reference_doors(house: House, references: Sequence[Reference]) -> Mapping[str, App]:
    """The door of the reference pages, at every prefix that it answers under."""
    door = Door(house, "", ReferencePages(references).routes(), form=page_form)
    others = (reference.address for reference in references if reference.address is not None)
    return dict.fromkeys((PREFIX, *(_fixed_part(address) for address in others)), door)


def _fixed_part(address: str) -> str:
    return address.partition("/{")[0]
