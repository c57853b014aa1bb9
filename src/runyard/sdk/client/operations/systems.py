"""Systems: programs of others that call in by a UUID."""

from collections.abc import Iterable

from runyard.protocol.shapes import systems as system_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import (
    Plan,
    all_pages,
    ask,
    delete,
    get,
    operation,
    patch,
    post,
    without_none,
)


class SystemOperations(Addresses):
    """Systems: programs of others that call in by a UUID."""

    @operation
    def systems(
        self, *, state: str | None = None, search: str | None = None
    ) -> Plan[tuple[system_shapes.System, ...]]:
        """The company's systems, newest first; `search` looks into what people read of them."""
        query = {"state": state, "search": search}
        request = get(self._path("systems"), query)
        return (yield from all_pages(request, system_shapes.SystemPage))

    @operation
    def system(self, system: Ref) -> Plan[system_shapes.System]:
        """One system, by its id or name."""
        return (yield from ask(get(self._path("systems", system)), system_shapes.System))

    @operation
    def create_system(
        self,
        name: str,
        *,
        description: str | None = None,
        files_from: Iterable[str] = (),
        allowed: bool = False,
    ) -> Plan[system_shapes.CreatedSystem]:
        """A new system. Its `uuid` is shown only in this answer.

        `files_from`: hosts that input files of its runs may come from, beside what everybody's may.
        `allowed`: it may call at once, instead of waiting to be allowed.
        """
        body = without_none(
            name=name, description=description, files_from=tuple(files_from), allowed=allowed
        )
        return (yield from ask(post(self._path("systems"), body), system_shapes.CreatedSystem))

    @operation
    def change_system(
        self,
        system: Ref,
        *,
        name: str | None = None,
        description: str | None = None,
        files_from: Iterable[str] | None = None,
    ) -> Plan[system_shapes.System]:
        """Changes what is given; `files_from` takes the place of all hosts before."""
        hosts = None if files_from is None else tuple(files_from)
        body = without_none(name=name, description=description, files_from=hosts)
        return (yield from ask(patch(self._path("systems", system), body), system_shapes.System))

    @operation
    def allow_system(self, system: Ref) -> Plan[system_shapes.System]:
        """Lets a system call, from now on."""
        request = post(self._path("systems", system, "allow"))
        return (yield from ask(request, system_shapes.System))

    @operation
    def lock_system(self, system: Ref) -> Plan[system_shapes.System]:
        """Keeps a system out; what it started goes on."""
        request = post(self._path("systems", system, "lock"))
        return (yield from ask(request, system_shapes.System))

    @operation
    def renew_system(self, system: Ref) -> Plan[system_shapes.CreatedSystem]:
        """Gives a system a new `uuid`, shown only in this answer; the one before is refused."""
        request = post(self._path("systems", system, "renew"))
        return (yield from ask(request, system_shapes.CreatedSystem))

    @operation
    def remove_system(self, system: Ref) -> Plan[None]:
        """Removes a system: its UUID is refused from now on."""
        yield delete(self._path("systems", system))
