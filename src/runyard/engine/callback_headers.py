"""Headers that a caller wants its callbacks to carry, such as a token of the receiver's.

They are often secrets: the database has them sealed, and no answer ever shows them.
"""

import re
from collections.abc import Mapping

import msgspec

from runyard.engine.keys import Keys
from runyard.model.companies import Company
from runyard.model.errors import FieldProblem, InputRefused

MOST_HEADERS = 20
LONGEST_NAME = 100
LONGEST_VALUE = 4_096
OURS = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    )
)
"""What the connection needs, and what Runyard says itself."""
_PURPOSE = "headers of callbacks"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~](?:[ -~\t]*[!-~])?|")

Headers = Mapping[str, str]


def refuse_unfit(field: str, headers: Headers) -> None:
    """Raise InputRefused, telling all that is wrong and no value, unless they can be sent."""
    problems = [*_crowd(field, headers)]
    for name, value in headers.items():
        problem = _misfit(f"{field}.{name[:LONGEST_NAME]}", name, value)
        if problem is not None:
            problems.append(problem)
    if problems:
        raise InputRefused(problems)


def sealed(keys: Keys, company: Company, headers: Headers) -> bytes | None:
    """As the database keeps them; None for none. Raises WrongMasterKey."""
    if not headers:
        return None
    return keys.seal(_PURPOSE, company.uuid.bytes, msgspec.json.encode(headers))


def unsealed(keys: Keys, company: Company, held: bytes | None) -> Headers:
    """As they are sent; raises WrongMasterKey."""
    if held is None:
        return {}
    plain = keys.unseal(_PURPOSE, company.uuid.bytes, held)
    return msgspec.json.decode(plain, type=dict[str, str])


def _crowd(field: str, headers: Headers) -> list[FieldProblem]:
    problems = []
    if len(headers) > MOST_HEADERS:
        allowed = f"at most {MOST_HEADERS}"
        problems.append(FieldProblem(field=field, seen=f"{len(headers)}", allowed=allowed))
    if len({name.lower() for name in headers}) < len(headers):
        seen = "a name twice, in different cases"
        problems.append(FieldProblem(field=field, seen=seen, allowed="each name once"))
    return problems


def _misfit(field: str, name: str, value: str) -> FieldProblem | None:
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        allowed = f"a header's name of at most {LONGEST_NAME} letters, digits and hyphens"
        return FieldProblem(field=field, seen="another name", allowed=allowed)
    if name.lower() in OURS:
        seen = "a header that Runyard sets itself"
        return FieldProblem(field=field, seen=seen, allowed=f"names but {', '.join(sorted(OURS))}")
    if len(value) > LONGEST_VALUE or not _VALUE.fullmatch(value):
        allowed = f"at most {LONGEST_VALUE} printable ASCII characters, without blanks around them"
        return FieldProblem(field=field, seen="another value", allowed=allowed)
    return None
