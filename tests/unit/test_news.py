"""What servers tell each other fits, arrives whole, or says that everybody must look."""

from hypothesis import given
from hypothesis import strategies as st

from runyard.engine.news import (
    MOST_IDS,
    Gathered,
    LoggedLines,
    News,
    Progress,
    Topic,
    decode_news,
    encode_news,
)
from runyard.stores.contract.peering import LARGEST_NEWS

IDS = st.integers(1, 2**53)


def told(gathered: Gathered) -> list[News]:
    """All of it, as it is heard."""
    heard = []
    while gathered:
        text = encode_news(gathered.take(LARGEST_NEWS))
        assert len(text.encode()) <= LARGEST_NEWS
        news = decode_news(text)
        assert news is not None
        heard.append(news)
    return heard


@given(st.sets(IDS, max_size=1500), st.sets(IDS, max_size=1500), st.sets(IDS, max_size=900), IDS)
def test_everything_is_told_once_in_parts_that_fit(
    gates: set[int], ended: set[int], changed: set[int], company: int
) -> None:
    gathered = Gathered(2**40)
    gathered.occupied(gates)
    gathered.ended(ended)
    gathered.changed(company, changed)

    heard = told(gathered)

    assert sorted(gate for news in heard for gate in news.gates) == sorted(gates)
    assert sorted(run for news in heard for run in news.ended) == sorted(ended)
    found = [run for news in heard for of, runs in news.changed for run in runs if of == company]
    assert sorted(found) == sorted(changed)


@given(st.sets(IDS, max_size=600), st.floats(allow_nan=False, allow_infinity=False))
def test_lines_and_progress_fit_however_long_their_numbers_are(runs: set[int], done: float) -> None:
    gathered = Gathered(2**40)
    for run in runs:
        gathered.logged(LoggedLines(2**52, run, 2**40, 2**41))
        gathered.progressed(Progress(2**52, run, done, done))

    heard = told(gathered)

    assert {lines.run_id for news in heard for lines in news.logged} == runs
    assert {said.run_id for news in heard for said in news.progress} == runs


def test_lines_of_one_run_are_told_as_one_range() -> None:
    gathered = Gathered(1)
    gathered.logged(LoggedLines(1, 7, 1, 4))
    gathered.logged(LoggedLines(1, 7, 5, 9))

    [news] = told(gathered)

    assert news.logged == (LoggedLines(1, 7, 1, 9),)


def test_more_than_can_be_told_becomes_a_call_to_look() -> None:
    gathered = Gathered(1)
    gathered.ended(range(1, MOST_IDS + 2))

    [news] = told(gathered)

    assert news.topics & Topic.ALL
    assert news.ended == ()


def test_news_of_another_release_are_not_understood_and_not_fatal() -> None:
    assert decode_news("{") is None
    assert decode_news('{"s": "x"}') is None
    assert decode_news('{"s": 7, "t": 1, "z": [1]}') == News(sender=7, topics=1)
