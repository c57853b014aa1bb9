"""Typed ids, and the public form of a run's id.

Integer ids come from one sequence per installation. A public id is a UUIDv7 (16 bytes) shown as 22
characters of base64url without padding: safe in URLs, rising with time, not guessable.
"""

import base64
import binascii
from typing import NewType

CompanyId = NewType("CompanyId", int)
TokenId = NewType("TokenId", int)
TaskId = NewType("TaskId", int)
VersionId = NewType("VersionId", int)
GateId = NewType("GateId", int)
RunId = NewType("RunId", int)
WorkerId = NewType("WorkerId", int)
SessionId = NewType("SessionId", int)
ScheduleId = NewType("ScheduleId", int)
FileId = NewType("FileId", int)
UserId = NewType("UserId", int)
LoginId = NewType("LoginId", int)
ActorId = NewType("ActorId", int)
"""Of whoever asked for something: a token, a user or a system. All ids come from one sequence, so that no two kinds of
actors share one."""
CallbackId = NewType("CallbackId", int)
AllocationId = NewType("AllocationId", int)
TicketId = NewType("TicketId", int)
ApiKeyId = NewType("ApiKeyId", int)
SystemId = NewType("SystemId", int)
AuditEntryId = NewType("AuditEntryId", int)

PUBLIC_ID_LENGTH = 22


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def encode_public_id(raw: bytes) -> str:
    """The 22 characters that show these 16 bytes."""
    encoded = binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE)
    return encoded[:PUBLIC_ID_LENGTH].decode("ascii")


def decode_public_id(text: str) -> bytes | None:
    """The 16 bytes behind a public id, or None when the text is not one."""
    if len(text) != PUBLIC_ID_LENGTH:
        return None
    try:
        raw = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if encode_public_id(raw) == text else None
