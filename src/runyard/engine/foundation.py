"""What most parts of the engine stand on."""

from dataclasses import dataclass

from runyard.engine.calls_elsewhere import CallsElsewhere
from runyard.engine.clock import Clock
from runyard.engine.colleagues import Colleagues
from runyard.engine.directory import Directory
from runyard.engine.dispatch import Dispatcher
from runyard.engine.elsewhere import Elsewhere
from runyard.engine.ids import Ids
from runyard.engine.peers import Peers
from runyard.engine.secrets import Secrets
from runyard.engine.sessions import Sessions
from runyard.engine.watch import Watch
from runyard.stores.contract.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Foundation:
    """The parts that decide nothing about single runs, composed once."""

    store: Store
    clock: Clock
    ids: Ids
    peers: Peers
    directory: Directory
    secrets: Secrets
    sessions: Sessions
    elsewhere: Elsewhere
    calls_elsewhere: CallsElsewhere
    colleagues: Colleagues
    dispatcher: Dispatcher
    watch: Watch
