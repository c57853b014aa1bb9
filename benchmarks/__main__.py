"""`python -m benchmarks`: measure the peers and Runyard in one run, print one table, save it as JSON."""

import argparse
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import msgspec
from rich.console import Console

from benchmarks import (
    call_peers,
    calls,
    figures,
    machine,
    processes,
    queues,
    runyard_side,
    services,
    two_servers,
)
from benchmarks.figures import Figure, Skipped, System, Verdict

_RESULTS = Path(__file__).resolve().parent / "results"
Measurement = Callable[[], list[Figure]]


class Report(msgspec.Struct, frozen=True):
    """What is saved."""

    machine: machine.Facts
    is_quick: bool
    figures: list[Figure]
    verdicts: list[Verdict]
    skipped: list[Skipped]
    busy_before: dict[System, float]
    """Which share of all cores other work took just before each system was measured: judge noise by it."""


def main() -> None:
    """Measure what was asked for. A missed target is a finding, not a failure: the exit code stays 0."""
    chosen = _arguments()
    effort = queues.QUICK if chosen.quick else queues.Effort()
    console = wide_console()
    facts = machine.facts(_versions())
    console.print(machine.described())
    busy: dict[System, float] = {}
    found, skipped = _measure_all(_measurements(effort, chosen.only), busy, console)
    judged = figures.verdicts(found)
    console.print(figures.table(judged))
    for left_out in skipped:
        console.print(f"skipped: {left_out.system}: {left_out.because}", markup=False)
    path = _save(Report(facts, chosen.quick, found, judged, skipped, busy), chosen.json)
    console.print(f"saved: {path}", markup=False)
    if chosen.markdown:
        chosen.markdown.write_text(
            f"{facts.date}, {machine.described()}.\n\n{figures.markdown(judged)}"
        )


def wide_console() -> Console:
    """The terminal as it is; wide enough for the table where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[system.name.lower() for system in System],
        help="measure only this (repeat for more)",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: rough figures")
    parser.add_argument(
        "--markdown", type=Path, help="where to save the table for the documentation"
    )
    parser.add_argument("--json", type=Path, help="where to save (default: benchmarks/results/)")
    return parser.parse_args()


def _measurements(effort: queues.Effort, only: list[str] | None) -> dict[System, Measurement]:
    everything: dict[System, Measurement] = {
        peer.system: partial(queues.measure, peer, effort) for peer in queues.PEERS
    }
    for system in (System.RUNYARD_SQLITE, System.RUNYARD_POSTGRES):
        everything[system] = partial(runyard_side.measure, system, effort)
    for caller in call_peers.PEERS:
        everything[caller.system] = partial(call_peers.measure, caller, effort)
    everything[System.CALLS] = partial(calls.measure, effort)
    everything[System.RUNYARD_TWO] = partial(two_servers.measure, effort)
    return {
        system: measurement
        for system, measurement in everything.items()
        if not only or system.name.lower() in only
    }


def _measure_all(
    wanted: dict[System, Measurement], busy: dict[System, float], console: Console
) -> tuple[list[Figure], list[Skipped]]:
    found: list[Figure] = []
    skipped: list[Skipped] = []
    for system, measurement in wanted.items():
        busy[system] = round(machine.busy_share(1.0), 2)
        console.print(f"{system} ... ({busy[system]:.0%} of the cores busy with other work)")
        try:
            measured = measurement()
        except (services.ServiceMissing, processes.ProgramFailed, subprocess.TimeoutExpired) as why:
            skipped.append(Skipped(system, str(why)))
            console.print(f"  skipped: {why}", markup=False)
            continue
        found += measured
        for figure in measured:
            console.print(f"  {figure.metric}: {figure.summary}", markup=False)
    return found, skipped


def _versions() -> dict[str, str]:
    return {"sqlite": apsw.sqlite_lib_version(), **services.versions(), **queues.versions()}


def _save(report: Report, path: Path | None) -> Path:
    if path is None:
        path = _RESULTS / f"{report.machine.date.replace(' ', '-').replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return path


if __name__ == "__main__":
    main()
