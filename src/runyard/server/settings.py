"""What the operator chose. Read once, all problems told at once; nobody else reads the environment.

A value comes from the command line, else from the environment (`RUNYARD_` and the field's name in
capitals), else it is the default. The docstring below a field is its entry in `docs/settings.md`.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from runyard.engine.engine import DEFAULT_LEASE
from runyard.engine.logins import DEFAULT_IDLE, DEFAULT_LASTING
from runyard.engine.ranks import DEFAULT_AGEING
from runyard.engine.signing import LONGEST_TOKEN_LIFE
from runyard.engine.tickets import (
    DEFAULT_CALL_LIFE,
    DEFAULT_MOST_TICKETS,
    DEFAULT_TICKET_LIFE,
)
from runyard.model.errors import FieldProblem, InputRefused
from runyard.outbound.addresses import Allowances

PREFIX = "RUNYARD_"
MEBIBYTE = 1024 * 1024
SHORTEST_LEASE, LONGEST_LEASE = timedelta(seconds=1), timedelta(days=1)
"""Shorter ones end between two signs of life whenever a machine is busy."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class SettingsRefused(InputRefused):
    """The settings do not fit; each problem names one."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one server runs."""

    data: Path = Path("runyard-data")
    """Folder of everything that the server keeps: the database (unless `database` names another),
    files, bundles, environments, and `admin.token`, which the first start writes. Only its owner
    may read it."""
    database: str | None = None
    """Address of a PostgreSQL database, such as postgresql://user@host/runyard. Without it the
    server keeps an SQLite database in its data folder."""
    host: str = "127.0.0.1"
    """Address to listen on. Anything but this machine's own needs TLS, or `trust_proxy` for a proxy
    that adds it."""
    port: int = 7070
    """Port to listen on; 0 takes any that is free."""
    public_url: str | None = None
    """What callers put in front of paths; absolute links begin with it. Without it: the address
    that the server listens on."""
    peer_url: str | None = None
    """Where other servers of the same database reach this very one, past any proxy. Without it: the
    address that the server listens on."""
    tls_cert: Path | None = None
    """File with the certificate chain (PEM). Goes with `tls_key`."""
    tls_key: Path | None = None
    """File with the certificate's private key (PEM)."""
    trust_proxy: tuple[str, ...] = ()
    """Networks of proxies, such as 10.0.0.0/8, whose word about a caller's address and scheme is
    taken. Several are separated by commas."""
    allow_outbound: tuple[str, ...] = ()
    """What requests of the server (callbacks, input files) may visit although it is private: hosts,
    addresses or networks, each for all ports or one, such as intranet.example:8443 or
    10.1.0.0/16:443. Several are separated by commas."""
    master_key: Path | None = None
    """File with the master key, which secrets of callbacks are derived from: 64 hexadecimal digits.
    Servers that share a database share it. Without it: `master.key` in the data folder, which the
    first start writes. Keep a copy; a backup has it only when it was made with `--with-keys`."""
    slots: int = os.cpu_count() or 2
    """How many runs the worker inside the server executes at once; 0: there is no worker in it."""
    server_name: str = ""
    """Name of this server among those that share a database. Without it: host name and port."""
    lease: timedelta = DEFAULT_LEASE
    """How long a worker may be silent before its runs go to another."""
    ageing: timedelta = DEFAULT_AGEING
    """How much longer a run must have waited, for each point of priority, to go first all the same."""
    drain: timedelta = timedelta(seconds=30)
    """How long running runs may go on after the server was told to stop."""
    login_idle: timedelta = DEFAULT_IDLE
    """How long somebody may do nothing in the console before signing in anew."""
    login_lasting: timedelta = DEFAULT_LASTING
    """How long it is until everybody has to sign in anew, however busy."""
    integray_kill_status: int = 303
    """Status of task runs that Kill has ended, as the Integray dialect shows it: 303 or 301."""
    integray_clean_mode: str = "cancel"
    """What Clean of the Integray dialect does with task runs: cancel or delete them."""
    integray_not_runnable: str = "refuse"
    """What the Integray dialect does with a start of a task that is not runnable: refuse it, or
    queue it."""
    integray_profile: Path | None = None
    """File (JSON) that says where the operations of the Integray dialect stand and what their
    fields are called; see docs/integray.md."""
    automation_session_lasting: timedelta = DEFAULT_TICKET_LIFE
    """How long the token of a login is valid in the Automation Anywhere dialect; at most 12h."""
    automation_execution_lasting: timedelta = DEFAULT_CALL_LIFE
    """How long the token of an execution is valid in the Automation Anywhere dialect; at most 12h."""
    automation_sessions: int = DEFAULT_MOST_TICKETS
    """How many sessions a user has at once in the Automation Anywhere dialect; one more ends the
    oldest."""
    realtime_pool: int = 16 * (os.cpu_count() or 2)
    """How many real-time calls of a company execute at once on this server, all its allocations
    together. Queued runs are bounded by `slots` instead: the two are how a machine is divided."""
    realtime_allocations: int = 0
    """How many tasks a company may keep warm; 0: as many as it likes."""
    realtime_monthly_limit: int = 0
    """How many real-time calls a company may execute in a calendar month (UTC); 0: as many as it
    likes."""
    elma_mirror_status: bool = False
    """Whether the ELMA dialect answers with the number in a success's body as HTTP status too, which is
    201 for a task that is not over, instead of 200: yes or no."""
    elma_refuse_with_200: bool = False
    """Whether the ELMA dialect refuses with HTTP status 200, for callers that only look into the
    body: yes or no."""
    elma_shared_reads: bool = False
    """Whether every allowed system may read the tasks that other systems of its company created:
    yes or no."""
    body_limit: int = 1 * MEBIBYTE
    """Most bytes of a JSON body."""
    starts_limit: int = 16 * MEBIBYTE
    """Most bytes of the body of one start, of one run or many."""
    bundle_limit: int = 100 * MEBIBYTE
    """Most bytes of a bundle."""
    file_limit: int = 1024 * MEBIBYTE
    """Most bytes of an uploaded file."""
    connections_limit: int = 4096
    """Most connections at once; further ones are answered 503."""
    source_builds: bool = False
    """Whether requirements may be packages without a wheel, which have to be built: yes or no. Code
    of a package that is built runs with the rights of the server's own user, not with those of a
    run; allow it only where everybody who deploys may have these."""
    log_format: str = "text"
    """How the server's own events are printed: text or json."""

    @property
    def scheme(self) -> str:
        """What callers speak, as far as this server goes."""
        return "https" if self.tls_cert is not None else "http"


def read_settings(
    given: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings from what was given (by field, unless None) and the environment.

    Raises SettingsRefused with every problem that there is.
    """
    environ = os.environ if environ is None else environ
    problems: list[FieldProblem] = []
    values: dict[str, object] = {}
    for name in _names():
        found = (given or {}).get(name)
        variable = PREFIX + name.upper()
        seen = found if found is not None else environ.get(variable)
        if seen is None:
            continue
        try:
            values[name] = _read(name, seen)
        except ValueError as error:
            shown = variable if found is None else name
            problems.append(FieldProblem(field=shown, seen=str(seen), allowed=str(error)))
    if not problems:
        settings = Settings(**values)  # type: ignore[arg-type]
        problems = list(_contradictions(settings))
        if not problems:
            return settings
    raise SettingsRefused(problems)


def _names() -> tuple[str, ...]:
    return tuple(field.name for field in fields(Settings))


# ---------------------------------------------------------------- single values


def _read(name: str, seen: object) -> object:
    """The value of a setting; raises ValueError with what is allowed."""
    reader = _READERS[name]
    if not isinstance(seen, str):
        return tuple(seen) if isinstance(seen, list) else _judged(reader, seen)
    return reader(seen.strip())


def _judged(reader: Callable[[str], object], seen: object) -> object:
    """A value that has its type already, having passed the same judgement as a text."""
    if isinstance(seen, int | Path):
        reader(str(seen))
    return seen


def _text(text: str) -> str:
    if not text:
        raise ValueError("a text")
    return text


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        allowed = f"a whole number from {lowest} to {highest}"
        if not re.fullmatch(r"\d{1,15}", text) or not lowest <= int(text) <= highest:
            raise ValueError(allowed)
        return int(text)

    return read


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a number with a unit: 500ms, 30s, 5m, 2h or 1d")
    found = timedelta(**{_UNITS[match[2]]: float(match[1])})
    if not found:
        raise ValueError("more than nothing")
    return found


def _lease(text: str) -> timedelta:
    found = _duration(text)
    if not SHORTEST_LEASE <= found <= LONGEST_LEASE:
        raise ValueError("1s to 1d: a worker gives four signs of life in it")
    return found


def _existing_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("a file that exists")
    return path


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _networks(text: str) -> tuple[str, ...]:
    found = _list(text)
    for part in found:
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError("networks such as 10.0.0.0/8, separated by commas") from None
    return found


def _allowances(text: str) -> tuple[str, ...]:
    found = _list(text)
    Allowances.read(found)
    return found


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("an address such as https://runyard.example.com")
    return text.rstrip("/")


def _database(text: str) -> str:
    if urlsplit(text).scheme not in {"postgresql", "postgres"}:
        raise ValueError("an address such as postgresql://user@host/runyard")
    return text


def _log_format(text: str) -> str:
    if text not in {"text", "json"}:
        raise ValueError("text or json")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return read


def _status(text: str) -> int:
    return int(_one_of("303", "301")(text))


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"yes", "no", "true", "false"}:
        raise ValueError("yes or no")
    return text.lower() in {"yes", "true"}


def _up_to(most: timedelta) -> Callable[[str], timedelta]:
    def read(text: str) -> timedelta:
        found = _duration(text)
        if found > most:
            raise ValueError(f"at most {most.total_seconds() / 3600:g}h")
        return found

    return read


_SIZE = _number(1024, 2**40)
_TOKEN_LIFE = _up_to(LONGEST_TOKEN_LIFE)

_READERS: Mapping[str, Callable[[str], object]] = {
    "data": Path,
    "database": _database,
    "host": _text,
    "port": _number(0, 65535),
    "public_url": _url,
    "peer_url": _url,
    "tls_cert": _existing_file,
    "tls_key": _existing_file,
    "trust_proxy": _networks,
    "allow_outbound": _allowances,
    "master_key": _existing_file,
    "slots": _number(0, 10_000),
    "server_name": _text,
    "lease": _lease,
    "ageing": _duration,
    "drain": _duration,
    "login_idle": _duration,
    "login_lasting": _duration,
    "integray_kill_status": _status,
    "integray_clean_mode": _one_of("cancel", "delete"),
    "integray_not_runnable": _one_of("refuse", "queue"),
    "integray_profile": _existing_file,
    "automation_session_lasting": _TOKEN_LIFE,
    "automation_execution_lasting": _TOKEN_LIFE,
    "automation_sessions": _number(1, 1000),
    "realtime_pool": _number(1, 100_000),
    "realtime_allocations": _number(0, 1_000_000),
    "realtime_monthly_limit": _number(0, 10**12),
    "elma_mirror_status": _yes_or_no,
    "elma_refuse_with_200": _yes_or_no,
    "elma_shared_reads": _yes_or_no,
    "body_limit": _SIZE,
    "starts_limit": _SIZE,
    "bundle_limit": _SIZE,
    "file_limit": _SIZE,
    "connections_limit": _number(1, 1_000_000),
    "source_builds": _yes_or_no,
    "log_format": _log_format,
}


# ---------------------------------------------------------------- what they say together


def _contradictions(settings: Settings) -> Iterator[FieldProblem]:
    has_tls = settings.tls_cert is not None
    if has_tls != (settings.tls_key is not None):
        missing, other = ("tls_key", "tls_cert") if has_tls else ("tls_cert", "tls_key")
        yield FieldProblem(field=missing, seen="nothing", allowed=f"a file, since {other} is given")
    if not is_loopback(settings.host) and not has_tls and not settings.trust_proxy:
        yield FieldProblem(
            field="host",
            seen=settings.host,
            allowed=(
                "an address of this machine alone (127.0.0.1), or tls_cert and tls_key, or "
                "trust_proxy naming the proxy that adds TLS: tokens must not travel in the open"
            ),
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
