"""Who asked for something, in words: rows keep an id, people read a name."""

from runyard.model.ids import ActorId, TokenId, UserId
from runyard.model.tokens import Token
from runyard.stores.base import Store

MOST_KNOWN = 10_000


class Actors:
    """Names whoever started a run or switched an orchestrator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tokens: dict[ActorId, str] = {}

    async def name(self, actor: ActorId | None) -> str | None:
        """Such as `remote-control token ...4f1a`, or a user's email; None when there is nobody."""
        if actor is None:
            return None
        known = self._tokens.get(actor)
        if known is not None:
            return known
        token = await self._store.tokens.find(TokenId(actor))
        if token is not None:
            return self._remembered(actor, token)
        user = await self._store.users.find(UserId(actor))
        return f"unknown, id {actor}" if user is None else user.email

    def _remembered(self, actor: ActorId, token: Token) -> str:
        if len(self._tokens) >= MOST_KNOWN:
            self._tokens.clear()
        name = f" ({token.name})" if token.name else ""
        # A token's name never changes, a user's may.
        known = self._tokens[actor] = f"{token.kind} token ...{token.last_characters}{name}"
        return known
