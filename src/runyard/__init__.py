"""Runyard: a self-hosted control plane for automations.

Task code says `from runyard import task, log, File`; programs that drive Runyard say
`from runyard import Client`. Both names are found here and loaded when first asked for, so
that a child that only runs a task never pays for the client, nor a server for either.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runyard.sdk import Email as Email
    from runyard.sdk import File as File
    from runyard.sdk import Input as Input
    from runyard.sdk import Output as Output
    from runyard.sdk import Retry as Retry
    from runyard.sdk import context as context
    from runyard.sdk import log as log
    from runyard.sdk import step as step
    from runyard.sdk import task as task
    from runyard.sdk.client import AsyncClient as AsyncClient
    from runyard.sdk.client import Client as Client

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "runyard.sdk.client",
    "Client": "runyard.sdk.client",
    "Email": "runyard.sdk",
    "File": "runyard.sdk",
    "Input": "runyard.sdk",
    "Output": "runyard.sdk",
    "Retry": "runyard.sdk",
    "context": "runyard.sdk",
    "log": "runyard.sdk",
    "step": "runyard.sdk",
    "task": "runyard.sdk",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
