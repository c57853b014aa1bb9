"""Remote control of a company: the one token with which programs steer it from outside, or none.

Nothing but the tokens themselves says whether control is allowed: it is, as long as the company has
a remote-control token that is not revoked. So revoking it like any other token forbids control too,
and no switch can disagree with the tokens.
"""

import msgspec

from runyard.engine.tokens import NewToken, Tokens
from runyard.model.companies import Company
from runyard.model.errors import RemoteControlDisabled, TokenRevoked
from runyard.model.ids import CompanyId
from runyard.model.tokens import Role, Token, TokenKind

KIND = TokenKind.REMOTE_CONTROL


class RemoteControlView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether programs may steer a company, and with which token."""

    allowed: bool
    token: Token | None
    """The one that opens now; None when control is not allowed."""


class RemoteControl:
    """Allows and forbids it."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def view(self, company: Company) -> RemoteControlView:
        """How it stands."""
        opening = await self._opening(company.id)
        return RemoteControlView(allowed=bool(opening), token=opening[0] if opening else None)

    async def allow(
        self, company: Company, *, role: Role = Role.OPERATOR, name: str = "remote control"
    ) -> NewToken:
        """Make a new token, the only one that opens from now on; an earlier one is revoked."""
        # The old one first: a crash in between locks everybody out, and lets nobody stay.
        await self.forbid(company)
        created = await self._tokens.create(KIND, company, role=role, name=name)
        # Of two callers at the same time, wherever they are, one wins for both.
        for token in (await self._opening(company.id))[1:]:
            await self._tokens.revoke(company.id, token.id)
        return created

    async def forbid(self, company: Company) -> None:
        """Let nobody in any more; the token that was valid is told why."""
        for token in await self._opening(company.id):
            await self._tokens.revoke(company.id, token.id)

    async def authenticate(self, secret: str) -> Token:
        """The token of this secret, of whatever kind.

        Raises RemoteControlDisabled for the token that opened when control was forbidden, and
        Unauthenticated for everything else that does not open.
        """
        try:
            return self._tokens.recall(secret) or await self._tokens.authenticate(secret)
        except TokenRevoked as refused:
            if await self._was_switched_off(refused.token):
                raise RemoteControlDisabled from None
            raise

    async def _was_switched_off(self, token: Token) -> bool:
        """Whether this revoked token is the one that opened last, and none has opened since."""
        if token.kind is not KIND or token.company_id is None:
            return False
        tokens = await self._all(token.company_id)
        ended = [
            (other.revoked_at, other.created_at, other.id)
            for other in tokens
            if other.revoked_at is not None
        ]
        return len(ended) == len(tokens) and max(ended)[2] == token.id

    async def _opening(self, company: CompanyId) -> list[Token]:
        """Those that are not revoked, newest first."""
        return [token for token in await self._all(company) if token.revoked_at is None]

    async def _all(self, company: CompanyId) -> list[Token]:
        return [token for token in await self._tokens.list_of(company) if token.kind is KIND]
