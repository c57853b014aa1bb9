"""Where what the API knows stands."""

from urllib.parse import quote

from runyard.model.errors import Refused

API = "/runyard/v1"

Ref = int | str
"""An id, a uuid, a public id or a name."""


def address(*segments: Ref) -> str:
    """The path of something that belongs to the whole installation."""
    return "/".join((API, *(quote(str(segment), safe="") for segment in segments)))


class Addresses:
    """The paths of what belongs to a client's company."""

    company: str | None
    """Slug of the company that they work in."""

    def _path(self, *segments: Ref) -> str:
        if self.company is None:
            raise Refused("Say which company: Client(..., company=SLUG).")
        return address("companies", self.company, *segments)

    def _path_or_all(self, *segments: Ref) -> str:
        """The company's; without a company those of the installation."""
        return address(*segments) if self.company is None else self._path(*segments)
