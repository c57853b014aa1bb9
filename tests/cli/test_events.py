"""Server-sent events, from bytes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runyard.sdk.client.events import EventParser
from runyard.sdk.client.requests import ServerEvent

STREAM = (
    ": hello\n\n"
    "event: state\nid: 17\ndata: {}\n\n"
    "event: lines\r\ndata: first\r\ndata: zweite Zeile ü\r\n\r\n"
    "data:no space\n\n"
    ": keep-alive\n\n"
    "event: resync\ndata: {}\n\n"
    "event: never finished\ndata: x"
).encode()
EVENTS = [
    ServerEvent("state", "{}", "17"),
    ServerEvent("lines", "first\nzweite Zeile ü", "17"),
    ServerEvent("message", "no space", "17"),
    ServerEvent("resync", "{}", "17"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_are_found_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    parser = EventParser()
    edges = [0, *sorted(cuts), len(STREAM)]

    found = [event for start, end in pairwise(edges) for event in parser.feed(STREAM[start:end])]

    assert found == EVENTS
