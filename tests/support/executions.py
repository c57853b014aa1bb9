"""Bodies of executions of an API Task with the inputs a, b, text and flag: plain, odd and broken ones."""

import json
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(min_value=-999, max_value=999).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(
        [
            "007",
            "+1",
            "-0",
            "1.",
            ".5",
            "1e5",
            "1E-5",
            "1e400",
            "1e-400",
            "1_0",
            " 1 ",
            "",
            "٣",
            "0x1",
        ]
    ),
    st.sampled_from(["9" * 18, "9" * 19, "9" * 400, "9" * 401, "1\n", "NaN", "Infinity", "--1"]),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([":", "12:30", '"type":"STRING"', "\x00", "ä", "\U0001f600", "true", "1"]),
)
_BARE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, NUMBERS)


def _values() -> st.SearchStrategy[Any]:
    plain = st.one_of(
        NUMBERS.map(lambda number: {"type": "NUMBER", "number": number}),
        st.integers(-9, 9).map(lambda number: {"type": "NUMBER", "number": str(number)}),
        TEXTS.map(lambda text: {"type": "STRING", "string": text}),
        st.sampled_from(["true", "false", "TRUE", "maybe"]).map(
            lambda word: {"type": "BOOLEAN", "boolean": word}
        ),
    )
    odd = st.one_of(
        _BARE,
        _BARE.map(lambda held: {"type": "NUMBER", "number": held}),
        _BARE.map(lambda held: {"type": "STRING", "string": held}),
        _BARE.map(lambda held: {"type": "BOOLEAN", "boolean": held}),
        _BARE.map(lambda held: {"string": held}),
        _BARE.map(lambda held: {"type": "STRING", "string": held, "number": ""}),
        st.lists(_BARE, max_size=3),
        st.sampled_from([{}, {"type": "FILE", "string": "1"}, {"type": "LIST", "list": []}]),
        st.sampled_from([{"type": "number", "number": "1"}, {"type": "CREDENTIAL"}, {"file": 1}]),
    )
    return st.one_of(plain, plain, plain, odd)


@st.composite
def _written(draw: st.DrawFn) -> str:
    """JSON text of a body, in one of the ways in which people write it; names may be repeated."""
    names = st.sampled_from(["a", "b", "text", "flag", "flag", "mail", "größe", "x:y", "unknown"])
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    escaped = draw(st.booleans())

    def text_of(value: Any) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=escaped)

    comma, colon = separators
    members = draw(st.lists(st.tuples(names, _values()), max_size=4))
    if not draw(st.integers(0, 3)):
        members += members[:1]
    inner = comma.join(f"{text_of(name)}{colon}{text_of(value)}" for name, value in members)
    outer = draw(st.sampled_from(["botInput"] * 6 + ["BotInput", "more"]))
    text = f'{{"{outer}"{colon}{{{inner}}}}}'
    if not draw(st.integers(0, 5)):
        text = f"{text[:-1]}{comma}{draw(st.sampled_from(_MORE))}}}"
    return text


_MORE = ['"more":1', '"botInput":{}', '"botInput":null', '"BotInput":{"a":1}', '"a":{"a":{}}']
_SPOILED = [
    (":", "\\u003a"),
    ('"type"', '"t\\u0079pe"'),
    ('"STRING"', '"STR\\u0049NG"'),
    ("a", "\\u0061"),
    ("}", "}}"),
    ('"', "'"),
    ("{", "["),
    ("1", "\\ud800"),
    ("1", ":"),
    ("1", "1.0"),
    (",", ",,"),
]


def bodies() -> st.SearchStrategy[bytes]:
    """Well-formed ones."""
    return _written().map(lambda text: text.encode(errors="surrogatepass"))


@st.composite
def messy_bodies(draw: st.DrawFn) -> bytes:
    """Those in which something was replaced, cut off or doubled."""
    text = draw(_written())
    old, new = draw(st.sampled_from(_SPOILED))
    places = [at for at in range(len(text)) if text.startswith(old, at)]
    for at in sorted(draw(st.sets(st.sampled_from(places), max_size=3)) if places else ())[::-1]:
        text = text[:at] + new + text[at + len(old) :]
    body = text.encode(errors="surrogatepass")
    match draw(st.integers(0, 8)):
        case 0:
            body = body[: draw(st.integers(0, len(body)))]
        case 1:
            at = draw(st.integers(0, len(body)))
            body = (
                body[:at] + draw(st.sampled_from([b"\xff", b"\x00", b"\xed\xa0\x80"])) + body[at:]
            )
        case 2:
            body += draw(st.sampled_from([b"{}", b" \n", b"\x00", b","]))
        case _:
            pass
    return body
