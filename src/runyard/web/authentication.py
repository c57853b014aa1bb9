"""Whose request it is."""

from typing import TYPE_CHECKING

from runyard.model.errors import Unauthenticated
from runyard.model.tokens import Token, TokenKind

if TYPE_CHECKING:
    from runyard.engine.tokens import Tokens

_SCHEME = b"bearer "


def bearer_secret(header: bytes | None) -> str:
    """The secret in an `Authorization` header; raises Unauthenticated when there is none."""
    if header is None:
        raise Unauthenticated("send Authorization: Bearer <token>")
    if header[:7].lower() != _SCHEME:
        raise Unauthenticated("the Authorization header is not of the form: Bearer <token>")
    try:
        return header[7:].strip().decode("ascii")
    except UnicodeDecodeError:
        raise Unauthenticated from None


async def authenticate(tokens: "Tokens", header: bytes | None, kind: TokenKind) -> Token:
    """The token that the header presents; raises Unauthenticated unless it opens this door."""
    return await token_of(tokens, bearer_secret(header), kind)


async def token_of(tokens: "Tokens", secret: str, kind: TokenKind) -> Token:
    """The token of this secret; raises Unauthenticated unless it is of this kind."""
    token = tokens.recall(secret) or await tokens.authenticate(secret)
    if token.kind is not kind:
        raise Unauthenticated(f"a token of kind {token.kind} does not open this door")
    return token
