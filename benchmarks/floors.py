"""What this machine can do at best: the disk, SQLite, a socket pair and a bare ASGI answer.

Run it with `python -m benchmarks.floors [--seconds 2] [--folder DIR]`. The figures say how far a design could
go here; they are no measurement of Runyard.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import machine, processes, wrk

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, public_id BLOB NOT NULL, gate_id INTEGER NOT NULL, rank INTEGER NOT NULL,
    state TEXT NOT NULL, created_at INTEGER NOT NULL, lease_token INTEGER);
CREATE INDEX runs_queued ON runs (gate_id, rank, id) WHERE state = 'queued';
CREATE TABLE run_values (run_id INTEGER PRIMARY KEY, input BLOB NOT NULL, output BLOB);
"""
_INSERT_RUN = (
    "INSERT INTO runs (public_id, gate_id, rank, state, created_at) VALUES (?, 1, 50, 'queued', ?)"
)
_INSERT_VALUE = "INSERT INTO run_values (run_id, input) VALUES (?, ?)"
_BLOCK = os.urandom(4096)
_PAYLOAD = b'{"zip":"76131","note":"' + b"x" * 200 + b'"}'


class Floor(msgspec.Struct, frozen=True):
    """One figure: what, how much, in which unit, and what is worth knowing about it."""

    what: str
    value: float
    unit: str
    note: str = ""


def disk(folder: Path, seconds: float) -> Iterator[Floor]:
    """How often a second 4 KiB reach the disk, appended and overwritten."""
    for name, flush, span in (
        ("append 4 KiB + fsync", os.fsync, None),
        ("append 4 KiB + fdatasync", os.fdatasync, None),
        ("overwrite 4 KiB + fdatasync", os.fdatasync, 256),
    ):
        with (folder / "disk").open("wb", buffering=0) as file:
            if span:
                file.write(_BLOCK * span)
                os.fsync(file.fileno())
            took = _durations(partial(_write_block, file.fileno(), flush, span), seconds)
        yield Floor(f"disk: {name}", len(took) / sum(took), "/s", _percentiles(took))


def _write_block(file: int, flush: Callable[[int], None], span: int | None, number: int) -> None:
    at = number % span if span else number
    os.pwrite(file, _BLOCK, at * len(_BLOCK))
    flush(file)


def sqlite(folder: Path, seconds: float) -> Iterator[Floor]:
    """Durable inserts of a run and its input a second, by size of the group that shares a commit."""
    for group in (1, 50, 200):
        connection = apsw.Connection(str(folder / f"group{group}.sqlite"))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_SCHEMA)
        took = _durations(partial(_insert_group, connection, group), seconds)
        connection.close()
        yield Floor(
            f"SQLite {apsw.sqlite_lib_version()}: durable inserts, groups of {group}",
            group * len(took) / sum(took),
            "runs/s",
            _percentiles(took) + " a group",
        )


def _insert_group(connection: apsw.Connection, group: int, number: int) -> None:
    ids = range(number * group + 1, (number + 1) * group + 1)
    with connection:
        connection.executemany(_INSERT_RUN, [(run_id.to_bytes(16), number) for run_id in ids])
        connection.executemany(_INSERT_VALUE, [(run_id, _PAYLOAD) for run_id in ids])


def socket_pair(seconds: float) -> Iterator[Floor]:
    """A question and an answer of 300 bytes between two blocking processes."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    echo = multiprocessing.get_context("fork").Process(
        target=_echo, args=(there, here), daemon=True
    )
    echo.start()
    there.close()
    question = b"q" * 300

    def ask(_: int) -> None:
        here.sendall(question)
        here.recv(4096)

    took = _durations(ask, seconds)
    here.close()
    echo.join()
    yield Floor(
        "Unix socket pair: round trip", statistics.median(took) * 1e6, "us", _percentiles(took)
    )


def _echo(there: socket.socket, here: socket.socket) -> None:
    here.close()
    while question := there.recv(4096):
        there.sendall(question)


def asgi(folder: Path, seconds: float) -> Iterator[Floor]:
    """Answers a second of a bare ASGI application under uvicorn, by 16 and by one connection."""
    if not wrk.is_installed():
        yield Floor("uvicorn, bare ASGI", float("nan"), "", "skipped: wrk is not installed")
        return
    port = processes.free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.bare_asgi:answer"),
        *("--port", str(port), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--lifespan", "off"),
    ]
    with processes.running(command, folder / "uvicorn.log") as server:
        processes.wait_until(
            lambda: processes.is_listening(port), "uvicorn listens", program=server
        )
        request = wrk.Request(
            f"http://127.0.0.1:{port}/", "POST", _PAYLOAD, {"Content-Type": "application/json"}
        )
        wrk.load(request, connections=16, seconds=1)
        for connections in (16, 1):
            seen = wrk.load(request, connections=connections, seconds=max(1, round(seconds)))
            yield Floor(
                f"uvicorn, bare ASGI, POST, {connections} connections",
                seen.rate,
                "requests/s",
                f"p50 {seen.p50_us / 1000:.2f} ms, p99 {seen.p99_us / 1000:.2f} ms",
            )


def _durations(act: Callable[[int], None], seconds: float) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + seconds
    number = 0
    while (before := time.perf_counter()) < end:
        act(number)
        took.append(time.perf_counter() - before)
        number += 1
    return took


def _percentiles(took: list[float]) -> str:
    ordered = sorted(took)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    return f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"


def main() -> None:
    """Measure every floor once and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.floors", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--folder", type=Path, default=machine.DISK, help="on the disk to measure")
    chosen = parser.parse_args()
    table = Table("floor", "value", "unit", "note")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="runyard-floors-") as name:
        folder = Path(name)
        busy = machine.busy_share(0.5)
        for floors in (
            disk(folder, chosen.seconds),
            sqlite(folder, chosen.seconds),
            socket_pair(chosen.seconds),
            asgi(folder, chosen.seconds),
        ):
            for floor in floors:
                table.add_row(floor.what, f"{floor.value:,.1f}", floor.unit, floor.note)
    console = Console()
    console.print(table)
    console.print(f"{machine.described()}; {busy:.0%} of it was busy with other work at the start")


if __name__ == "__main__":
    main()
