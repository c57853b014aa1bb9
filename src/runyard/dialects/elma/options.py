"""What the operator chooses about the dialect, where the vendor's public pages leave it open."""

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the dialect answers."""

    mirrors_status: bool = False
    """Whether the HTTP status of a success is the number in its body instead of 200."""
    refuses_with_200: bool = False
    """Whether the HTTP status of a refusal is 200, and the body alone has the number."""
    shares_reads: bool = False
    """Whether every allowed system of a company may read the tasks of its others."""

    def success_status(self, number: int) -> int:
        """The HTTP status of a success with this number in its body."""
        return number if self.mirrors_status else 200

    def failure_status(self, number: int) -> int:
        """The HTTP status of a refusal with this number in its body."""
        return 200 if self.refuses_with_200 else number
