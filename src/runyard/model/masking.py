"""Runyard's own secrets in text that others have written: what they look like, made unreadable.

What tasks print, log and raise is kept for whoever may read the run, which are more people than may
use a token that got in there. Every secret that Runyard issues begins with what it is (`ryd_native_`,
`whsec_`), but for the UUIDs of systems, which only the engine knows (`engine.secrets`); signed tokens look like any other
JSON Web Token, and one of somebody else is nobody's business either.
"""

import re

HIDDEN = "***"
_SECRETS = re.compile(
    r"(ryd_[a-z-]{1,20}_)[\w-]{12,}"
    r"|(whsec_)[\w+/-]{12,}=*"
    r"|(eyJ)[\w-]{8,}\.[\w-]{8,}\.[\w-]{16,}",
    re.ASCII,
)


def masked(text: str) -> str:
    """The text without the secrets in it. Nearly free for text that has none."""
    if "ryd_" in text or "eyJ" in text or "whsec_" in text:
        return _SECRETS.sub(_hidden, text)
    return text


def _hidden(found: re.Match[str]) -> str:
    return f"{found[1] or found[2] or found[3]}{HIDDEN}"
