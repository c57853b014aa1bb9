"""The client: everything that the native API offers, for Python programs.

    from runyard import Client

    with Client("http://127.0.0.1:7070", token, company="acme") as client:
        run = client.start("Zip code", {"zip": "76131"})
        print(client.wait(run.id).outputs)

`AsyncClient` is the same with `await`. There is one description of each operation, in
`operations`: a generator that yields the requests it needs and returns a typed answer. It does no
I/O. The two clients differ only in who carries a request out and who waits (`sending`).

A start carries an idempotency key, so that a lost answer or a busy server (429, 503) is met by
asking again: the second request finds the run of the first. Whatever the server refuses is raised
as the error of `runyard.model.errors` that the server raised.
"""

from runyard.protocol.shapes.events import Resync, RunLines, RunProgressed
from runyard.sdk.client.archive import Archive, pack
from runyard.sdk.client.events import Event, StateChanged
from runyard.sdk.client.failures import ServerBroken, ServerUnreachable
from runyard.sdk.client.operations.runs import NewRun, RunFilter
from runyard.sdk.client.operations.schedules import NewSchedule
from runyard.sdk.client.sending import AsyncClient, Client
from runyard.sdk.client.shapes import AllocationChange, CallAnswer, Called, KilledRun, Run, RunPage

__all__ = [
    "AllocationChange",
    "Archive",
    "AsyncClient",
    "CallAnswer",
    "Called",
    "Client",
    "Event",
    "KilledRun",
    "NewRun",
    "NewSchedule",
    "Resync",
    "Run",
    "RunFilter",
    "RunLines",
    "RunPage",
    "RunProgressed",
    "ServerBroken",
    "ServerUnreachable",
    "StateChanged",
    "pack",
]
