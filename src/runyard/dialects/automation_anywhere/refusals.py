"""How the dialect writes down what it refuses."""

from runyard.dialects.automation_anywhere import wire
from runyard.model.errors import RunyardError
from runyard.web.asgi import Scope
from runyard.web.problems import headers_of
from runyard.web.responses import ENCODER, Response


def problem_form(error: RunyardError | None, trace: str, scope: Scope) -> Response:
    """Problems as the dialect shows them."""
    return refusal(error, trace)


def refusal(error: RunyardError | None, trace: str = "") -> Response:
    """The answer for this error; None: something failed that must not, and `trace` finds it."""
    if error is None:
        body = ENCODER.encode(wire.unexpected_problem(trace))
        return Response(body, status=wire.UNEXPECTED.status)
    headers = list(headers_of(error))
    if isinstance(error, wire.CallFailed | wire.CallTimedOut):
        headers.append((b"x-execution-id", b"%d" % error.execution))
    return Response(
        ENCODER.encode(wire.problem_from(error)),
        status=wire.form_of(type(error)).status,
        headers=headers,
    )
