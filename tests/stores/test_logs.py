"""Log lines: in order, by level, page by page."""

from runyard.model.logs import LogLevel, LogLine
from runyard.stores.contract.logs import LogChunk
from runyard.stores.contract.store import Store
from tests.stores.builders import ACME, GLOBEX, later

INFO, ERROR, TRACE = LogLevel.INFO, LogLevel.ERROR, LogLevel.TRACE


def a_line(number: int, level: LogLevel = INFO, text: str = "line") -> LogLine:
    return LogLine(number, later(number), level, f"{text} {number}", 1)


def a_chunk(*lines: LogLine, run: int = 5, dropped: int = 0) -> LogChunk:
    return LogChunk(company_id=ACME, run_id=run, lines=lines, dropped=dropped)


async def numbers(store: Store, *, at_least: LogLevel = TRACE, after: int = 0, limit: int = 1000):
    lines = await store.logs.read(ACME, 5, at_least=at_least, after=after, limit=limit)
    return [line.number for line in lines]


async def test_lines_come_back_as_they_were(store: Store) -> None:
    lines = [a_line(1), a_line(2, ERROR, "č" * 4000), a_line(3, LogLevel.FATAL)]

    await store.logs.append([a_chunk(*lines)])

    assert await store.logs.read(ACME, 5, at_least=TRACE, after=0, limit=10) == lines


async def test_lines_of_many_chunks_are_read_in_order(store: Store) -> None:
    for first in range(1, 400, 10):
        await store.logs.append([a_chunk(*(a_line(first + n) for n in range(10)))])

    assert await numbers(store) == list(range(1, 401))
    assert await numbers(store, after=355, limit=10) == list(range(356, 366))
    assert await numbers(store, after=400) == []


async def test_a_reader_of_errors_gets_only_errors(store: Store) -> None:
    for first in range(1, 1000, 10):
        level = ERROR if first % 100 == 1 else INFO
        await store.logs.append([a_chunk(a_line(first, level), a_line(first + 1))])

    assert await numbers(store, at_least=ERROR) == list(range(1, 1000, 100))
    assert await numbers(store, at_least=ERROR, limit=3) == [1, 101, 201]
    assert await numbers(store, at_least=LogLevel.FATAL) == []


async def test_dropped_lines_are_counted(store: Store) -> None:
    await store.logs.append([a_chunk(a_line(1), dropped=3), a_chunk(a_line(50), dropped=40)])
    await store.logs.append([a_chunk(dropped=2)])
    await store.logs.append([a_chunk(dropped=5)])

    assert await store.logs.dropped(ACME, 5) == 50
    assert await store.logs.dropped(ACME, 6) == 0
    assert await numbers(store) == [1, 50]


async def test_a_chunk_that_is_sent_twice_counts_once(store: Store) -> None:
    for _ in range(2):
        await store.logs.append([a_chunk(a_line(1), a_line(2), dropped=1)])

    assert await numbers(store) == [1, 2]
    assert await store.logs.dropped(ACME, 5) == 1


async def test_lines_belong_to_their_run_and_company(store: Store) -> None:
    await store.logs.append([a_chunk(a_line(1)), a_chunk(a_line(2), run=6)])

    assert await numbers(store) == [1]
    assert await store.logs.read(GLOBEX, 5, at_least=TRACE, after=0, limit=10) == []
    assert await store.logs.dropped(GLOBEX, 5) == 0


async def test_the_last_line_has_the_highest_number(store: Store) -> None:
    assert await store.logs.last_number(ACME, 5) == 0

    await store.logs.append([a_chunk(a_line(1), a_line(7)), a_chunk(dropped=3)])

    assert await store.logs.last_number(ACME, 5) == 7
    assert await store.logs.last_number(GLOBEX, 5) == 0
