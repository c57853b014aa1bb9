"""The `@task` decorator: what makes a function a task, and with which policies it is executed."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import update_wrapper
from inspect import cleandoc, isfunction
from typing import Any, Final, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from runyard.model.errors import CodeRefused
from runyard.model.tasks import HIGHEST_PRIORITY, LOWEST_PRIORITY, Policies, RetryPolicy
from runyard.sdk.durations import duration

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_NAME = 200
MOST_RETRIES = 1000
DEFAULT_FOLDER = "Bots"
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:[\[<>=!~;@(].*)?", re.ASCII
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,61}[A-Za-z0-9])?", re.ASCII)


class Retry:
    """How a failed run is tried again: `Retry(retries=5, delay="2s", cap="1m")`."""

    __slots__ = ("policy",)

    def __init__(
        self,
        *,
        retries: int = 0,
        delay: str | timedelta = "1s",
        factor: float = 2.0,
        cap: str | timedelta = "10m",
        jitter: float = 0.2,
    ) -> None:
        """Say how often, and how long to wait.

        `retries` further attempts follow the first one. Before the second attempt `delay` passes,
        and before each further one `factor` times as long, never longer than `cap`. Each delay is
        spread by up to the share `jitter` of itself. Raises ValueError for what cannot be meant.
        """
        if not 0 <= retries <= MOST_RETRIES:
            raise ValueError(f"retries={retries} must be 0 to {MOST_RETRIES}")
        if factor < 1:
            raise ValueError(f"factor={factor} must be at least 1")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter={jitter} must be 0 to 1")
        self.policy: Final = RetryPolicy(
            retries=retries,
            delay=duration(delay),
            factor=float(factor),
            cap=duration(cap),
            jitter=float(jitter),
        )


class TaskOptions(TypedDict, total=False):
    """What `@task` may be told beside the name."""

    path: str
    """Where people find it, folders separated by slashes; by default `Bots/` and the name."""
    key: str
    """What makes it the same task when it is renamed; by default the name."""
    timeout: str | timedelta
    """An attempt that takes longer is killed."""
    retries: int
    """Short for `retry=Retry(retries=...)`; together with `retry` it says how often."""
    retry: Retry
    concurrency: int
    """Runs of it that may be under way at once."""
    priority: int
    """1 to 99, lower first."""
    labels: Sequence[str]
    """A worker must have all of these."""
    retention: str | timedelta
    """How long ended runs are kept."""
    requirements: Sequence[str]
    """Packages that its environment needs, as pip writes them; must be a literal list of text."""


class Task(Generic[P, R]):
    """A function that Runyard can run. Called directly it is just that function."""

    def __init__(self, function: Callable[P, R], name: str, options: TaskOptions) -> None:
        """Declare this function a task; raises ValueError for options that cannot be meant."""
        self.function = function
        self.name = _valid_name(name, "name")
        self.path = _valid_path(options.get("path", f"{DEFAULT_FOLDER}/{name}"))
        self.key = _valid_name(options.get("key", name), "key")
        self.description = cleandoc(function.__doc__ or "")
        self.policies = _policies(options)
        self.requirements = tuple(valid_requirement(r) for r in _texts(options, "requirements"))
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now, without Runyard."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


@overload
def task(name: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    name: str | None = None, **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(name: Any = None, **options: Any) -> Any:
    """Make a function a task: `@task` or `@task("Name", timeout="30s", retries=2)`.

    Its parameters become the inputs and its return annotation the outputs. Without a name the
    function's own is taken. The options are those of `TaskOptions`. Raises CodeRefused, with file
    and line, for options that cannot be meant.
    """
    if name is not None and not isinstance(name, str):
        return _declared(name, None, TaskOptions())
    unknown = options.keys() - TaskOptions.__annotations__.keys()
    if unknown:
        raise TypeError(
            f"@task knows no option {', '.join(sorted(unknown))}; it knows {', '.join(TaskOptions.__annotations__)}"
        )
    chosen = TaskOptions(**options)  # type: ignore[typeddict-item]
    return lambda function: _declared(function, name, chosen)


def _declared(function: Any, name: str | None, options: TaskOptions) -> Task[..., Any]:  # noqa: ANN401 - whatever was decorated
    if not isfunction(function):
        raise CodeRefused(f"@task makes functions tasks, and {function!r} is none")
    try:
        return Task(function, function.__name__ if name is None else name, options)
    except (ValueError, TypeError) as error:
        code = function.__code__
        raise CodeRefused(
            f"task {function.__name__}: {error}", file=code.co_filename, line=code.co_firstlineno
        ) from None


def _policies(options: TaskOptions) -> Policies:
    return Policies(
        timeout=_optional_duration(options, "timeout"),
        retry=_retry_policy(options),
        concurrency=_number(options, "concurrency", lowest=1, highest=None),
        priority=_number(options, "priority", lowest=HIGHEST_PRIORITY, highest=LOWEST_PRIORITY),
        labels=tuple(sorted({_valid_label(label) for label in _texts(options, "labels")})),
        retention=_optional_duration(options, "retention"),
    )


def _retry_policy(options: TaskOptions) -> RetryPolicy:
    retries = _number(options, "retries", lowest=0, highest=MOST_RETRIES)
    retry = options.get("retry")
    if retry is None:
        return RetryPolicy(retries=retries or 0)
    if not isinstance(retry, Retry):
        raise TypeError(f"retry={retry!r} must be a Retry(...)")
    policy = retry.policy
    if retries is None:
        return policy
    if policy.retries not in (0, retries):
        raise ValueError(f"retries={retries} contradicts Retry(retries={policy.retries})")
    return RetryPolicy(
        retries=retries,
        delay=policy.delay,
        factor=policy.factor,
        cap=policy.cap,
        jitter=policy.jitter,
    )


def _optional_duration(options: TaskOptions, name: str) -> timedelta | None:
    written: Any = options.get(name)
    if written is None:
        return None
    try:
        return duration(written)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _number(options: TaskOptions, name: str, *, lowest: int, highest: int | None) -> int | None:
    number: Any = options.get(name)
    if number is None:
        return None
    if type(number) is not int or number < lowest or (highest is not None and number > highest):
        reach = f"{lowest} to {highest}" if highest is not None else f"{lowest} or more"
        raise ValueError(f"{name}={number!r} must be a whole number, {reach}")
    return number


def _texts(options: TaskOptions, name: str) -> tuple[str, ...]:
    texts: Any = options.get(name, ())
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name}={texts!r} must be a list of text")
    return tuple(texts)


def _valid_name(name: str, what: str) -> str:
    if (
        not isinstance(name, str)
        or not name.strip()
        or not name.isprintable()
        or len(name) > LONGEST_NAME
    ):
        raise ValueError(f"{what}={name!r} must be 1 to {LONGEST_NAME} visible characters")
    if name != name.strip():
        raise ValueError(f"{what}={name!r} begins or ends with a blank")
    return name


def _valid_path(path: str) -> str:
    parts = path.split("/")
    if not all(part.strip() and part.isprintable() and part not in {".", ".."} for part in parts):
        raise ValueError(f"path={path!r} must be names separated by single slashes")
    return path


def _valid_label(label: str) -> str:
    if not _LABEL.fullmatch(label):
        raise ValueError(f"labels: {label!r} must be 1 to 63 letters, digits and . _ : / -")
    return label


def valid_requirement(requirement: str) -> str:
    """A requirement that begins with a package's name: never an option of the installer."""
    if not requirement.isprintable() or not _REQUIREMENT.fullmatch(requirement.strip()):
        raise ValueError(f'requirements: {requirement!r} must be a package, such as "httpx>=0.27"')
    return requirement.strip()
