"""Addresses that more than one door tells its callers."""

CONSOLE = "/console"


def setup_url(public_url: str, secret: str) -> str:
    """Where a set-up link leads."""
    return f"{public_url}{CONSOLE}/set-up/{secret}"
