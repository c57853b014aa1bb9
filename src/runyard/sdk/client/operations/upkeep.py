"""What happened, and whether all is well."""

from datetime import timedelta

import msgspec

from runyard.protocol.shapes import audit as audit_shapes
from runyard.protocol.shapes import installation as installation_shapes
from runyard.sdk.client.operations.addresses import Addresses, address
from runyard.sdk.client.requests import Plan, ask, get, operation, paged

VERIFYING_PATIENCE = timedelta(minutes=10)
"""A whole log is read."""


class UpkeepOperations(Addresses):
    """What happened, and whether all is well."""

    @operation
    def audit(
        self, *, limit: int | None = None, after: str | None = None
    ) -> Plan[audit_shapes.AuditPage]:
        """A page of the company's audit log, newest first; `after` is the `next` of the one before.
        Without a company: of what concerns the whole installation.
        """
        request = get(self._path_or_all("audit"), paged(limit, after))
        return (yield from ask(request, audit_shapes.AuditPage))

    @operation
    def verify_audit(self, *, noted: str | None = None) -> Plan[audit_shapes.AuditVerification]:
        """Whether the audit log is what was written. `noted`: `end` of an earlier answer, which the log must
        still contain. Needs a token of the installation.
        """
        request = get(address("audit", "verification"), {"noted": noted})
        patient = msgspec.structs.replace(request, patience=VERIFYING_PATIENCE)
        return (yield from ask(patient, audit_shapes.AuditVerification))

    @operation
    def doctor(self) -> Plan[installation_shapes.Diagnosis]:
        """Examines the installation. Needs a token of the installation."""
        return (yield from ask(get(address("doctor")), installation_shapes.Diagnosis))
