"""Everything about a run, on a page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from runyard.cli.output import console, print_facts, print_table, shown, state_text

if TYPE_CHECKING:
    from runyard.sdk.client import Run
    from runyard.sdk.client.shapes import RunError

FILE_FIELDS = frozenset({"file", "name", "content_type", "size", "digest"})


def print_run(run: "Run") -> None:
    """Prints everything about a run."""
    print_facts(
        (
            ("Run", f"{run.id} ({run.public_id})"),
            ("Task", f"{run.task.name}, version {run.version}"),
            ("State", state_text(run.state)),
            ("Cause", run.cause),
            ("Priority", run.priority),
            ("Restart of", run.restarted_from),
            ("Trigger", run.trigger),
            ("Created", run.created_at),
            ("Due", run.due_at),
            ("Started", run.started_at),
            ("Finished", run.finished_at),
            ("Took", run.duration),
            ("Attempts", run.attempt),
            ("Worker", run.worker_id),
            ("Progress", _progress(run)),
            ("Logged errors", run.logged_errors or None),
        )
    )
    _print_values("Input", run.input)
    _print_values("Outputs", run.outputs)
    _print_attempts(run)
    if run.error is not None:
        _print_error(run.error)


def _print_values(heading: str, values: object) -> None:
    if isinstance(values, Mapping) and values:
        console().print(f"\n{heading}", style="bold")
        print_facts((f"  {name}", _value(value)) for name, value in values.items())


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON
    """A value as a person reads it; a file by its name, size and id."""
    if isinstance(value, Mapping) and value.keys() == FILE_FIELDS:
        return f"{value['name']} ({value['size']} bytes, file {value['file']})"
    return "null" if value is None else shown(value)


def _print_attempts(run: "Run") -> None:
    if len(run.attempts) > 1:
        console().print()
        print_table(
            ("Attempt", "Outcome", "Began", "Ended", "Error"),
            (
                (
                    attempt.number,
                    attempt.outcome,
                    attempt.begun_at,
                    attempt.finished_at,
                    ""
                    if attempt.error is None
                    else f"{attempt.error.kind}: {attempt.error.message}",
                )
                for attempt in run.attempts
            ),
            empty="",
        )


def _print_error(error: "RunError") -> None:
    console().print()
    console().print(Text(f"{error.kind}: {error.message}", "red"))
    if error.traceback:
        console().print(Text(error.traceback.rstrip(), "dim"))


def _progress(run: "Run") -> str | None:
    if run.progress is None:
        return None
    total = run.progress.total
    return f"{run.progress.done:g}" + ("" if total is None else f" of {total:g}")
