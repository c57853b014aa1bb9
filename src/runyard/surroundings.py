"""What a program takes from its surroundings, and what it hides from them."""

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_TOOL_PREFIXES = ("UV_", "PIP_", "SSL_")
_TOOL_NAMES = frozenset(
    {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "HOME", "PATH", "XDG_CACHE_HOME"}
)

_PR_SET_DUMPABLE = 4
_ARGUMENTS = slice(45, 47)
"""Where the arguments begin and end in memory, among the fields of /proc/self/stat after the name."""


def hide_arguments() -> None:
    """Blank out what this program was started with, as far as Linux shows it: everybody may read it
    there, task code too, and it may hold a password.
    """
    if sys.platform == "linux":
        text = Path("/proc/self/stat").read_text()
        fields = text[text.rindex(")") + 2 :].split()
        begin, end = (int(field) for field in fields[_ARGUMENTS])
        if begin and end > begin:
            ctypes.memset(begin, 0, end - begin)


def forbid_inspection() -> None:
    """Keep other processes of the same user out of this one's memory, as far as Linux does that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def tool_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the building of environments needs of this program's own environment. Nothing of Runyard."""
    environ = os.environ if environ is None else environ
    return {
        name: value
        for name, value in environ.items()
        if name.upper() in _TOOL_NAMES or name.startswith(_TOOL_PREFIXES)
    }
