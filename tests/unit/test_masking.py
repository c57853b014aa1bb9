"""Secrets that Runyard issues are found in any text, and nothing else is touched."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.engine.signatures import PREFIX
from runyard.engine.tokens import new_secret, sealed_secret
from runyard.model.masking import masked
from runyard.model.tokens import TokenKind
from runyard.server.events import printing

WORDS = [*TokenKind, "apikey", "login", "setup"]
AROUND = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


def a_jwt(*, claims: int = 3) -> str:
    parts = ({"alg": "RS512", "kid": "0"}, {f"claim{n}": n for n in range(claims)})
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    )
    return f"{head}.{body}.{'s1g-_' * 40}"


@pytest.mark.parametrize("word", WORDS)
def test_a_secret_of_each_kind_is_made_unreadable(word: str) -> None:
    secret = sealed_secret(word)

    assert masked(f"Authorization: Bearer {secret}, sent") == (
        f"Authorization: Bearer ryd_{word}_***, sent"
    )


def test_a_callback_secret_is_made_unreadable() -> None:
    secret = PREFIX + base64.b64encode(bytes(range(200, 232))).decode()

    assert masked(f"key={secret};") == "key=whsec_***;"


@given(before=AROUND, after=AROUND, kind=st.sampled_from(TokenKind))
def test_no_surroundings_hide_a_token(before: str, after: str, kind: TokenKind) -> None:
    secret = new_secret(kind)

    assert secret not in masked(f"{before}{secret}{after}")


@given(before=AROUND, after=AROUND, claims=st.integers(1, 9))
def test_no_surroundings_hide_a_signed_token(before: str, after: str, claims: int) -> None:
    token = a_jwt(claims=claims)

    shown = masked(f"{before} {token}{after}")
    assert token not in shown
    assert token.split(".")[1] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "runyard.example.com serves ryd_ and eyJ",
        "the prefix is ryd_native_, the rest is a secret",
        "eyJustABase64String.of.somebody",
        "whsec_short",
        "a-b-c 0190b7b0-7a3c-7000-8000-000000000000 " + "x" * 10_000,
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert masked(text) is text or masked(text) == text


@given(text=AROUND)
def test_text_without_secrets_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_events_of_the_server_are_printed_without_secrets(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, token = new_secret(TokenKind.NATIVE), a_jwt()

    printing(log_format)("request.failed", {"error": f"{secret}\n{token}", "count": 3})

    printed = capsys.readouterr().err
    assert "ryd_native_***" in printed
    assert "3" in printed
    assert secret not in printed
    assert token not in printed
