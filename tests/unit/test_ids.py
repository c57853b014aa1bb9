"""Ids dealt from reserved blocks."""

import asyncio

from runyard.engine.ids import BLOCK, Ids
from runyard.model.ids import decode_public_id, encode_public_id


class Sequence:
    """The installation's sequence, which takes its time."""

    def __init__(self) -> None:
        self.next = 1
        self.asked = 0

    async def reserve_ids(self, count: int) -> int:
        self.asked += 1
        first, self.next = self.next, self.next + count
        for _ in range(3):
            await asyncio.sleep(0)  # noqa: TID251 - others ask meanwhile
        return first


async def test_no_id_is_dealt_twice_however_many_ask_at_once() -> None:
    sequence = Sequence()
    ids = Ids(sequence)  # type: ignore[arg-type]
    counts = [1, 3, 1000, BLOCK + 5, 7] * 20

    firsts = await asyncio.gather(*(ids.take(count) for count in counts))

    dealt = [first + at for first, count in zip(firsts, counts, strict=True) for at in range(count)]
    assert len(set(dealt)) == len(dealt)
    assert max(dealt) < sequence.next


async def test_only_a_block_at_a_time_is_asked_for() -> None:
    sequence = Sequence()
    ids = Ids(sequence)  # type: ignore[arg-type]

    for _ in range(BLOCK):
        await ids.take()

    assert sequence.asked == 1


def test_a_public_id_is_read_back_and_nothing_else_is() -> None:
    raw = bytes(range(16))
    shown = encode_public_id(raw)

    assert len(shown) == 22
    assert decode_public_id(shown) == raw
    for wrong in (shown[:-1], shown + "A", shown[:-1] + "_", "=" * 22, "é" * 22):
        assert decode_public_id(wrong) is None
