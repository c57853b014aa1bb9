"""What concerns the whole installation: its health."""

import msgspec

from runyard.model.tokens import Permission
from runyard.protocol import shapes
from runyard.web.requests import Request
from runyard.web.routing import Route


async def examine(request: Request) -> shapes.Diagnosis:
    """Examine the installation: whether every promise holds at this moment."""
    diagnosis = await request.engine.doctor.examine()
    checks = tuple(
        msgspec.convert(check, shapes.Check, from_attributes=True) for check in diagnosis.checks
    )
    return shapes.Diagnosis(ok=all(check.ok for check in checks), checks=checks)


ROUTES = (
    Route(
        method="GET",
        path="/doctor",
        permission=Permission.MONITOR,
        endpoint=examine,
        title="Examine the installation",
        tag="installation",
        answer=shapes.Diagnosis,
    ),
)
