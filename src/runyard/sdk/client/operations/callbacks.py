"""Callbacks, and the secret that they are verified with."""

from runyard.protocol.shapes import callbacks as callback_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref
from runyard.sdk.client.requests import Plan, ask, get, operation, paged, post


class CallbackOperations(Addresses):
    """Callbacks, and the secret that they are verified with."""

    @operation
    def callbacks(
        self,
        *,
        run: Ref | None = None,
        state: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Plan[callback_shapes.CallbackPage]:
        """A page of callbacks, newest first; `after` is the `next` of the page before."""
        query = {
            "run": None if run is None else str(run),
            "state": state,
            **paged(limit, after),
        }
        return (yield from ask(get(self._path("callbacks"), query), callback_shapes.CallbackPage))

    @operation
    def callback(self, callback: Ref) -> Plan[callback_shapes.Callback]:
        """One callback, by its id or public id."""
        return (yield from ask(get(self._path("callbacks", callback)), callback_shapes.Callback))

    @operation
    def resend_callback(self, callback: Ref) -> Plan[callback_shapes.Callback]:
        """Sends a callback again, now."""
        request = post(self._path("callbacks", callback, "resend"))
        return (yield from ask(request, callback_shapes.Callback))

    @operation
    def resend_dead_callbacks(self) -> Plan[int]:
        """Sends all callbacks of the company again that were given up; how many."""
        request = post(self._path("callbacks", "resend-dead"))
        return (yield from ask(request, callback_shapes.Resent)).resent

    @operation
    def callback_secret(self) -> Plan[callback_shapes.CallbackSecret]:
        """What receivers verify the company's callbacks with."""
        return (yield from ask(get(self._path("callback-secret")), callback_shapes.CallbackSecret))

    @operation
    def rotate_callback_secret(self) -> Plan[callback_shapes.CallbackSecret]:
        """A new secret signs from now on, and for a day the one before as well."""
        request = post(self._path("callback-secret", "rotate"))
        return (yield from ask(request, callback_shapes.CallbackSecret))
