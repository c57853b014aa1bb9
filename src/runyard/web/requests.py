"""A request as a door sees it: read on demand, each part within a limit."""

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from runyard.engine.audit import Deed
from runyard.engine.engine import Engine
from runyard.engine.logins import Visit
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused, TooLarge
from runyard.model.ids import ActorId
from runyard.model.tokens import Token
from runyard.model.users import User
from runyard.web.asgi import ClientGone, Receive, Scope, target_of
from runyard.web.errors import MediaTypeRefused
from runyard.web.house import House
from runyard.web.validation import struct_from_json, struct_from_strings

S = TypeVar("S", bound=msgspec.Struct)

_MOST_QUERY_FIELDS = 100
SEND_JSON = "send application/json (curl -d alone sends a form type)"


class Request:
    """One HTTP request, with what routing and authentication found out about it."""

    __slots__ = (
        "_body",
        "_company",
        "_receive",
        "_scope",
        "_token",
        "_user",
        "_visit",
        "about",
        "headers",
        "house",
        "params",
        "query_string",
    )

    def __init__(
        self, house: House, params: Mapping[str, str], scope: Scope, receive: Receive
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._token: Token | None = None
        self._visit: Visit | None = None
        self._user: User | None = None
        self._company: Company | None = None
        self._body: bytes | None = None
        self.about = " ".join(value for name, value in params.items() if name != "company")
        """What it is done to, as the audit log says it; the address's own word unless set."""
        self.params = params
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.house = house

    def admit(self, token: Token | None, company: Company | None) -> None:
        """Remember for whom the request was let in."""
        self._token = token
        self._company = company

    def admit_visit(self, visit: Visit, company: Company | None) -> None:
        """Remember which user the request was let in for."""
        self._visit = visit
        self._company = company

    def admit_user(self, user: User, company: Company) -> None:
        """Remember which user's program the request was let in for."""
        self._user = user
        self._company = company

    @property
    def engine(self) -> Engine:
        """What decides."""
        return self.house.engine

    @property
    def receive(self) -> Receive:
        """The ASGI channel that the body, and the client's leaving, arrive on."""
        return self._receive

    @property
    def is_head(self) -> bool:
        """Whether only the headers of the answer are wanted."""
        return bool(self._scope["method"] == "HEAD")

    @property
    def token(self) -> Token:
        """The caller's token; there is one on every route that is not public."""
        assert self._token is not None
        return self._token

    @property
    def actor(self) -> ActorId:
        """The caller, as rows remember whoever asked for something."""
        if self._user is not None:
            return ActorId(self._user.id)
        return ActorId(self.token.id if self._visit is None else self._visit.user.id)

    @property
    def user(self) -> User:
        """The user whose program asks; there is one wherever tickets let callers in."""
        assert self._user is not None
        return self._user

    @property
    def visit(self) -> Visit:
        """The user who asks, signed in; there is one wherever logins let callers in."""
        assert self._visit is not None
        return self._visit

    def note(self, action: str, refusal: str | None = None, said_to_be: str = "") -> None:
        """Put what was asked for, and came of it, into the audit log. `said_to_be`: the name with
        which somebody signs in.
        """
        has_caller = (self._token or self._visit or self._user) is not None
        self.engine.audit.note(
            Deed(
                action=action,
                company=None if self._company is None else self._company.id,
                actor=self.actor if has_caller else None,
                said_to_be=said_to_be,
                subject=self.about,
                refusal=refusal,
                source=f"{self._scope['method']} {self._scope['path']}",
                address=self.address,
            )
        )

    @property
    def address(self) -> str:
        """Where the caller comes from, as far as proxies that are trusted say."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    @property
    def scheme(self) -> str:
        """What the caller speaks: http or https."""
        return str(self._scope["scheme"])

    @property
    def target(self) -> str:
        """Path and query, as they came over the wire."""
        return target_of(self._scope)

    @property
    def company(self) -> Company:
        """The company that the address names."""
        assert self._company is not None
        return self._company

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return (
            self.headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        )

    @property
    def has_body(self) -> bool:
        """Whether the headers announce one."""
        return (
            b"transfer-encoding" in self.headers
            or self.headers.get(b"content-length", b"0").strip(b"0") != b""
        )

    def accepts(self, media_type: str) -> bool:
        """Whether the caller names this content type among those it wants."""
        wanted = self.headers.get(b"accept", b"").decode("latin-1").lower()
        return media_type in {part.split(";")[0].strip() for part in wanted.split(",")}

    def query(self, shape: type[S]) -> S:
        """The query, as this shape; raises InputRefused."""
        try:
            pairs = parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_QUERY_FIELDS,
            )
        except ValueError as error:
            raise refused("query", "text that cannot be read", str(error)) from None
        return struct_from_strings(_gathered(pairs, _repeatable(shape)), shape)

    async def json(self, shape: type[S]) -> S:
        """The body, as this shape; raises MediaTypeRefused, TooLarge, MalformedBody, InputRefused."""
        self.demand_json()
        return struct_from_json(await self.body(), shape)

    async def json_or(self, absent: S) -> S:
        """The body as the shape of `absent`, which is the answer when there is none."""
        if not self.has_body:
            return absent
        self.demand_json()
        body = await self.body()
        return struct_from_json(body, type(absent)) if body else absent

    def demand_json(self) -> None:
        """Raise unless the body claims to be JSON."""
        if self.media_type != "application/json":
            raise MediaTypeRefused(SEND_JSON)

    async def body(self, limit: int | None = None) -> bytes:
        """The whole body; raises TooLarge, before reading it when its length is announced.

        `limit`: the most bytes that it may have, unless as many as any JSON body.
        It is kept: where the secret stands in it, the endpoint reads it again.
        """
        if self._body is None:
            most = limit or self.house.limits.body
            self._body = await read_body(self.headers, self._receive, most)
        return self._body

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes; raises TooLarge as soon as it is."""
        refuse_announced(self.headers, limit)
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large(limit)
            if part:
                yield part
            if not message.get("more_body", False):
                return


def demand_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise MediaTypeRefused unless the body is announced as JSON."""
    content_type = headers.get(b"content-type", b"")
    if content_type == b"application/json":  # nearly always it is just that
        return
    if content_type.split(b";")[0].strip().lower() != b"application/json":
        raise MediaTypeRefused(SEND_JSON)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body; raises TooLarge, before reading it when its length is announced."""
    refuse_announced(headers, limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and message["type"] != "http.disconnect":
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise too_large(limit)
    if message["type"] == "http.disconnect":
        raise ClientGone
    return b"".join(parts)


def refuse_announced(headers: Mapping[bytes, bytes], limit: int) -> None:
    """Raise TooLarge when the announced length of the body is beyond the limit."""
    announced = headers.get(b"content-length")
    # A length of more digits than any limit has needs no reading as a number.
    if announced is not None and (len(announced) > 18 or int(announced) > limit):
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body beyond this many bytes."""
    return TooLarge(f"the body may have at most {limit:,} bytes")


def refused(field: str, seen: str, allowed: str) -> InputRefused:
    """The refusal of one field."""
    return InputRefused([FieldProblem(field=field, seen=seen, allowed=allowed)])


@lru_cache(maxsize=256)
def _repeatable(shape: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a query that may be given several times."""
    info = msgspec.inspect.type_info(shape)
    assert isinstance(info, msgspec.inspect.StructType)
    return frozenset(
        field.encode_name
        for field in info.fields
        if isinstance(field.type, msgspec.inspect.VarTupleType)
    )


def _gathered(pairs: list[tuple[str, str]], repeatable: frozenset[str]) -> dict[str, object]:
    found: dict[str, object] = {name: [] for name in repeatable}
    for name, value in pairs:
        many = found.get(name)
        if isinstance(many, list):
            many.append(value)
        elif name in found:
            raise refused(name, "several values", "one value")
        else:
            found[name] = value
    return found
