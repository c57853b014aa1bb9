"""Who calls: the system whose UUID stands in the body, and nobody else.

Whoever is not let in learns nothing about the rest of what was sent, not even that it is wrong.
"""

from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from runyard.dialects.elma.shapes import Asked
from runyard.dialects.elma.texts import SMALL, struct_from
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import InputRefused
from runyard.model.systems import System
from runyard.web.asgi import Receive, Scope
from runyard.web.house import House
from runyard.web.requests import read_body

A = TypeVar("A", bound=Asked)


class Visit(msgspec.Struct, Generic[A], frozen=True):
    """A call that was let in."""

    asked: A
    system: System
    company: Company

    @property
    def system_uuid(self) -> str:
        """The caller's UUID as answers write it."""
        return self.asked.auth_tkn.lower()


class _Caller(msgspec.Struct):
    """What is read of a body that cannot be read whole."""

    auth_tkn: object = None


_decode_caller = msgspec.json.Decoder(_Caller).decode


async def admitted(
    house: House, scope: Scope, receive: Receive, shape: type[A], limit: int = 0
) -> Visit[A]:
    """The call with its caller.

    Raises TooLarge, MalformedBody, Unauthenticated, SystemNotAllowed, and only then InputRefused.
    """
    body = await read_body(dict(scope["headers"]), receive, limit or house.limits.body)
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if len(body) > SMALL:
        with suppress(msgspec.DecodeError, RecursionError):  # told below, with its place
            await _known(house.engine, _decode_caller(body).auth_tkn, address)
    try:
        asked = struct_from(body, shape)
    except InputRefused:
        await _known(house.engine, struct_from(body, _Caller).auth_tkn, address)
        raise
    system = await house.engine.systems.admit(asked.auth_tkn, address)
    company = await house.engine.directory.company_by_id(system.company_id)
    return Visit(asked, system, company)


async def _known(engine: Engine, token: object, address: str) -> System:
    return await engine.systems.admit(token if isinstance(token, str) else None, address)
