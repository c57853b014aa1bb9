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
    with_site: bool
    """Children see the packages of the zygote's virtual environment."""
