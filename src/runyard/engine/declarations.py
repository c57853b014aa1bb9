"""What an inspected bundle may say about its tasks.

The SDK judges all of this when a task is declared. But what arrives was said by a process that
executes the author's code, which may say anything; so it is judged again before it is believed.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from runyard.model.errors import CodeRefused
from runyard.model.shapes import shape
from runyard.model.tasks import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Declaration,
    Policies,
    RetryPolicy,
)

MOST_TASKS = 2_000
"""Tasks of one bundle."""
LONGEST_NAME = 200
LONGEST_PATH = 1_000
LONGEST_DESCRIPTION = 64 * 1024
MOST_FIELDS = 1_000
MOST_REQUIREMENTS = 500
LONGEST_REQUIREMENT = 2_000
MOST_LABELS = 100
MOST_AT_ONCE = 1_000_000
MOST_RETRIES = 1_000
LARGEST_FACTOR = 1_000.0
LONGEST_DURATION = timedelta(days=36_500)

_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:[\[<>=!~;@(].*)?", re.ASCII
)
_FINGERPRINT = re.compile(r"[0-9a-f]{1,128}")


def refuse_unfit(declarations: Sequence[Declaration]) -> None:
    """Raise CodeRefused for declarations that no SDK would have made."""
    if len(declarations) > MOST_TASKS:
        raise CodeRefused(f"the bundle has {len(declarations)} tasks; allowed: {MOST_TASKS}")
    keys: set[str] = set()
    for declaration in declarations:
        shown = f"task {declaration.name[:LONGEST_NAME]!r}"
        for problem in _problems(declaration):
            raise CodeRefused(f"{shown}: {problem}")
        if declaration.key in keys:
            raise CodeRefused(f"{shown}: its key {declaration.key!r} is there twice")
        keys.add(declaration.key)


def _problems(declaration: Declaration) -> Iterator[str]:
    names = {"name": declaration.name, "key": declaration.key, "function": declaration.function}
    for what, text in names.items():
        if not _is_line(text, LONGEST_NAME):
            yield f"its {what} must be 1 to {LONGEST_NAME} visible characters"
    for what, text in {"path": declaration.path, "module": declaration.module}.items():
        if not _is_line(text, LONGEST_PATH):
            yield f"its {what} must be 1 to {LONGEST_PATH} visible characters"
    if len(declaration.description) > LONGEST_DESCRIPTION or "\0" in declaration.description:
        yield f"its description must be text of at most {LONGEST_DESCRIPTION} characters"
    if not _FINGERPRINT.fullmatch(declaration.fingerprint):
        yield "its fingerprint is none"
    yield from _problems_of_requirements(declaration.requirements)
    yield from _problems_of_policies(declaration.policies)
    yield from _problems_of_fields(declaration)


def _problems_of_requirements(requirements: Sequence[str]) -> Iterator[str]:
    if len(requirements) > MOST_REQUIREMENTS:
        yield f"it has {len(requirements)} requirements; allowed: {MOST_REQUIREMENTS}"
    for line in requirements:
        # What goes to the installer must never be an option of it.
        if not _is_line(line, LONGEST_REQUIREMENT) or not _REQUIREMENT.fullmatch(line):
            yield f"requirement {line[:LONGEST_NAME]!r} is no package"


def _problems_of_policies(policies: Policies) -> Iterator[str]:
    priority, concurrency = policies.priority, policies.concurrency
    if priority is not None and not HIGHEST_PRIORITY <= priority <= LOWEST_PRIORITY:
        yield f"its priority must be {HIGHEST_PRIORITY} to {LOWEST_PRIORITY}"
    if concurrency is not None and not 1 <= concurrency <= MOST_AT_ONCE:
        yield f"its concurrency must be 1 to {MOST_AT_ONCE}"
    for what, duration in {"timeout": policies.timeout, "retention": policies.retention}.items():
        if duration is not None and not timedelta() < duration <= LONGEST_DURATION:
            yield f"its {what} must be a duration of at most {LONGEST_DURATION.days} days"
    labels = policies.labels
    if len(labels) > MOST_LABELS or not all(_is_line(label, LONGEST_NAME) for label in labels):
        yield f"it may have {MOST_LABELS} labels of visible characters"
    yield from _problems_of_retries(policies.retry)


def _problems_of_retries(retry: RetryPolicy) -> Iterator[str]:
    if not 0 <= retry.retries <= MOST_RETRIES:
        yield f"its retries must be 0 to {MOST_RETRIES}"
    # Written so that what is no number fits nowhere.
    if not 1 <= retry.factor <= LARGEST_FACTOR or not 0 <= retry.jitter <= 1:
        yield f"a factor must be 1 to {LARGEST_FACTOR:.0f}, a jitter 0 to 1"
    if not all(timedelta() <= wait <= LONGEST_DURATION for wait in (retry.delay, retry.cap)):
        yield f"a delay must be at most {LONGEST_DURATION.days} days"


def _problems_of_fields(declaration: Declaration) -> Iterator[str]:
    for what, fields in {"inputs": declaration.inputs, "outputs": declaration.outputs}.items():
        names = [field.name for field in fields]
        if len(names) > MOST_FIELDS or len(set(names)) < len(names):
            yield f"its {what} must be at most {MOST_FIELDS}, none there twice"
        if not all(_is_line(name, LONGEST_NAME) for name in names):
            yield f"names of {what} must be 1 to {LONGEST_NAME} visible characters"
        try:
            shape(fields)
        except (TypeError, ValueError, RecursionError) as error:
            yield f"its {what} cannot be: {error}"


def _is_line(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()
