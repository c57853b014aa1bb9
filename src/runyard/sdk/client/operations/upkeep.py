"""What happened, and whether all is well."""

from runyard.protocol.shapes import audit as audit_shapes
from runyard.protocol.shapes import installation as installation_shapes
from runyard.sdk.client.operations.addresses import Addresses, address
from runyard.sdk.client.requests import Plan, ask, get, operation, paged


class UpkeepOperations(Addresses):
    """What happened, and whether all is well."""

    @operation
    def audit(
        self, *, limit: int | None = None, after: str | None = None
    ) -> Plan[audit_shapes.AuditPage]:
        """A page of the company's audit log, newest first; `after` is the `next` of the one before."""
        request = get(self._path("audit"), paged(limit, after))
        return (yield from ask(request, audit_shapes.AuditPage))

    @operation
    def doctor(self) -> Plan[installation_shapes.Diagnosis]:
        """Examines the installation. Needs a token of the installation."""
        return (yield from ask(get(address("doctor")), installation_shapes.Diagnosis))
