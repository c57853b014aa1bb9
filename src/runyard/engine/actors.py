"""Who asked for something, in words: rows keep an id, people read a name."""

from runyard.model.ids import ActorId, SystemId, TokenId, UserId
from runyard.stores.contract.store import Store

MOST_KNOWN = 10_000


class Actors:
    """Names whoever started a run or switched an orchestrator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[ActorId, str] = {}

    def forget(self) -> None:
        """Look names up anew: a system may have another one."""
        self._known.clear()

    async def name(self, actor: ActorId | None) -> str | None:
        """Such as `remote-control token ...4f1a`, `system Finance`, or a user's email; None for nobody."""
        if actor is None:
            return None
        known = self._known.get(actor)
        if known is not None:
            return known
        token = await self._store.tokens.find(TokenId(actor))
        if token is not None:
            name = f" ({token.name})" if token.name else ""
            return self._remembered(actor, f"{token.kind} token ...{token.last_characters}{name}")
        user = await self._store.users.find(UserId(actor))
        if user is not None:  # whose email may change
            return user.email
        system = await self._store.systems.find(SystemId(actor))
        if system is not None:
            return self._remembered(actor, f"system {system.name}")
        return f"somebody who was removed, id {actor}"

    def _remembered(self, actor: ActorId, name: str) -> str:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[actor] = name
        return name
