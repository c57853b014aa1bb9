"""What an API says about itself to the pages on which people read it and try it out.

A door that has an OpenAPI document declares one `Reference`; the server hands all of them to the
console, which makes the pages. Neither door knows of the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An API whose document has a page."""

    name: str
    """In the page's address: /console/reference/<name>."""
    title: str
    caption: str
    """One sentence: for whom it is, and how one is let in."""
    document: str
    """Address of the OpenAPI document, on this server."""
    prefilled: Mapping[str, str] = field(default_factory=dict)
    """Values that parameters have when the page opens, by the names that the document gives them."""
    address: str | None = None
    """A second address of the page, such as /remote-api/{CompanySlug}: what stands at a parameter's
    place in it is prefilled too."""
