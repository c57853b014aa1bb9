"""Values of any size: small ones stand in a row, large ones in a blob that the row names."""

from collections.abc import Iterable
from typing import TypeAlias

from runyard.model.errors import ValueLost
from runyard.stores.contract.blobs import Blobs

INLINE_LIMIT = 32 * 1024
"""Values up to this many bytes stand in the database; larger ones in the blob store."""

Columns: TypeAlias = tuple[bytes | None, str | None]
"""The two columns of a value: itself, or the digest of its blob; neither for None."""


def is_inline(value: bytes | None) -> bool:
    """Whether a value stands in its row."""
    return value is None or len(value) <= INLINE_LIMIT


def are_inline(values: Iterable[bytes | None]) -> bool:
    """Whether all of these values stand in their rows."""
    return all(value is None or len(value) <= INLINE_LIMIT for value in values)


async def keep_value(blobs: Blobs, value: bytes | None) -> Columns:
    """The two columns for a value; its blob, if it needs one, is durable afterwards."""
    if is_inline(value):
        return value, None
    assert value is not None
    return None, await blobs.put(value)


async def load_value(blobs: Blobs, value: bytes | None, digest: str | None) -> bytes | None:
    """The value behind the two columns."""
    if digest is None:
        return value
    loaded = await blobs.load(digest)
    if loaded is None:
        raise ValueLost(f"the blob {digest} of a value is gone")
    return loaded
