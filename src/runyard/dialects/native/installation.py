"""What concerns the whole installation: its health."""

import msgspec

from runyard.model.tokens import Permission
from runyard.protocol.shapes import installation as installation_shapes
from runyard.web.requests import Request
from runyard.web.routing import Route


async def examine(request: Request) -> installation_shapes.Diagnosis:
    """Examine the installation: whether every promise holds at this moment."""
    diagnosis = await request.engine.doctor.examine()
    checks = tuple(
        msgspec.convert(check, installation_shapes.Check, from_attributes=True)
        for check in diagnosis.checks
    )
    return installation_shapes.Diagnosis(ok=all(check.ok for check in checks), checks=checks)


ROUTES = (
    Route(
        method="GET",
        path="/doctor",
        permission=Permission.MONITOR,
        endpoint=examine,
        title="Examine the installation",
        tag="installation",
        answer=installation_shapes.Diagnosis,
    ),
)
