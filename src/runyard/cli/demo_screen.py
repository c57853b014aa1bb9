"""What the demo prints of requests and answers: everything once, then what is new.

The first object of a kind is shown whole. Of later ones, members are left out that are empty, that
say the same as the last time, or that are of no use to a reader (instants, digests); how many, the
object says itself: `"…": "12 more"`. What a caller gave or a task returned is never left out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.text import Text

from runyard.cli.output import console, readable_json
from runyard.sdk.client.requests import JSON, Answer, Request

FEW = 5
"""Members that are always shown."""
WHOLE = frozenset(("input", "outputs"))
ALWAYS = frozenset(("id", "state", "status"))
IDLE = frozenset(("public_id", "uuid", "content_type", "size", "digest", "traceId"))
LONGEST_TEXT = 160
LONGEST_BODY = 4000
"""Characters that are shown."""


class Screen:
    """Prints what goes over the wire."""

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._seen: dict[tuple[str, ...], Mapping[str, Any]] = {}
        """The last object of each kind; a kind is what its members are called."""

    def exchange(self, request: Request, answer: Answer) -> None:
        """Print a request of a client and its answer."""
        query = "&".join(f"{name}={value}" for name, value in request.query.items() if value)
        address = request.path + (f"?{query}" if query else "")
        self.asked(request.method, address)
        self.body(_shown_request(request))
        self.answered(answer.status_code, _shown_answer(answer))

    def http(self, answer: httpx.Response) -> None:
        """Print a request that was sent without a client, and its answer."""
        self.asked(answer.request.method, answer.request.url.raw_path.decode())
        self.body(answer.request.content.decode())
        self.answered(answer.status_code, answer.text)

    def asked(self, method: str, address: str) -> None:
        """Print the first line of a request."""
        console().print(Text(f"{method} {address}", "bold"), soft_wrap=True)

    def answered(self, status: int, body: str) -> None:
        """Print an answer."""
        console().print(Text(str(status), "green" if status < 400 else "yellow"))
        self.body(self._told(body))

    def body(self, text: str) -> None:
        """Print a body, JSON such that it can be read."""
        if text[:1] in ("{", "["):
            text = readable_json(text)
        shortened = text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]} ..."
        for line in shortened.splitlines():
            console().print(Text(f"  {line}", "dim"), soft_wrap=True)

    def _told(self, text: str) -> str:
        if self._whole or text[:1] not in ("{", "["):
            return text
        return json.dumps(self._new_in(json.loads(text)))

    def _new_in(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        match value:
            case dict():
                return self._new_members(value)
            case list():
                return [self._new_in(each) for each in value]
            case str() if len(value) > LONGEST_TEXT:
                return f"{value[:LONGEST_TEXT].splitlines()[0]} …"
            case _:
                return value

    def _new_members(self, found: dict[str, Any]) -> dict[str, Any]:
        kind = tuple(found)
        before = self._seen.get(kind)
        self._seen[kind] = found
        shown = {
            name: value if name in WHOLE else self._new_in(value)
            for name, value in found.items()
            if before is None or len(found) <= FEW or _is_worth_telling(name, value, before)
        }
        left_out = len(found) - len(shown)
        return {**shown, "…": f"{left_out} more"} if left_out else shown


def _is_worth_telling(name: str, value: object, before: Mapping[str, object]) -> bool:
    if name in WHOLE:
        return value is not None
    if name in IDLE or name.endswith("_at") or value in (None, [], {}):
        return False
    return name in ALWAYS or value != before.get(name)


def _shown_request(request: Request) -> str:
    match request.body:
        case None:
            return ""
        case Path() as path:
            return f"({path.stat().st_size} bytes of {path.name})"
        case body if request.content_type == JSON:
            return body.decode()
        case body:
            return f"({len(body)} bytes of {request.content_type})"


def _shown_answer(answer: Answer) -> str:
    if "json" in answer.headers.get("content-type", ""):
        return answer.body.decode()
    return f"({len(answer.body)} bytes)" if answer.body else ""
