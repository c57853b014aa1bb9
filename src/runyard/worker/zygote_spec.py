"""What a zygote is started with."""

import msgspec


class ZygoteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The one argument of a zygote's program."""

    socket: int
    worker: int
    """Process id."""
    reachable: tuple[str, ...]
    """Folders that children of other users must be able to reach."""
    own_users: bool
    executable: str
    """What children take for their interpreter: it says which virtual environment is theirs."""
    sdk: str
    """Where the SDK is imported from."""
    packages: str | None
    """Where children, and nobody else, find what their requirements brought."""
