"""Signatures of callbacks, in the form of Standard Webhooks.

The signed text is `id.timestamp.body`, the signature HMAC-SHA256 under a company's secret. While a
secret is being rotated there are two signatures, so that receivers may change over at their time.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"


def secret_text(secret: bytes) -> str:
    """A secret as receivers are given it."""
    return PREFIX + base64.b64encode(secret).decode()


def signed_headers(
    public_id: str, at: datetime, body: bytes, secrets: Sequence[bytes]
) -> Mapping[str, str]:
    """The headers that say which callback this is, when it was sent, and that it is ours."""
    timestamp = str(int(at.timestamp()))
    text = b".".join((public_id.encode(), timestamp.encode(), body))
    signatures = (
        base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
        for secret in secrets
    )
    return {
        "webhook-id": public_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
