"""What a child does with task code: find it, call it, and say how that ended.

    task = load(folder, "tasks.zip", "zip_code")
    output = task.call(b'{"zip":"76131"}', context, channel)

`call` decodes the input straight into the function's parameters, says `channel.begin()`, calls the
function and encodes what it returns. Whatever goes wrong is an `TaskFailed` that knows the
outcome and the error to report. Only `AttemptOver`, raised by the channel, passes through.

Every child has this in memory before any code of a user, so what only some tasks need (asyncio, the
inspection of a bundle, the formatting of errors) is imported when the first of them needs it.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from runyard.model.errors import CodeRefused, FieldProblem, InputRefused
from runyard.model.runs import Outcome, RunError
from runyard.model.shapes import NO_VALUES, shape
from runyard.sdk.annotations import Member
from runyard.sdk.bundles import extend_path
from runyard.sdk.channel import AttemptOver, Channel, RunContext
from runyard.sdk.current import CURRENT
from runyard.sdk.logs import capture, capture_logging
from runyard.sdk.signature import Signature, read_signature
from runyard.sdk.tasks import Task
from runyard.sdk.tracebacks import error_of

if TYPE_CHECKING:
    import asyncio

    from runyard.model.tasks import Declaration


class TaskFailed(Exception):
    """The attempt did not return; `outcome` and `error` are what to report."""

    outcome: ClassVar[Outcome]

    def __init__(self, error: RunError) -> None:
        super().__init__(f"{error.kind}: {error.message}")
        self.error = error


class NotLoaded(TaskFailed):
    """The code could not be loaded."""

    outcome = Outcome.NOT_LOADED


class InputInvalid(TaskFailed):
    """The input does not fit the parameters; the function was not called."""

    outcome = Outcome.INPUT_INVALID


class Raised(TaskFailed):
    """The function raised, or tried to leave the process."""

    outcome = Outcome.RAISED


class OutputInvalid(TaskFailed):
    """The function returned what its annotation does not say."""

    outcome = Outcome.OUTPUT_INVALID


def static_requirements(folder: str | Path) -> tuple[str, ...]:
    """All that an unpacked bundle needs to be imported; see `runyard.sdk.inspection`."""
    from runyard.sdk import inspection

    return inspection.static_requirements(folder)


def inspect(folder: str | Path) -> "tuple[Declaration, ...]":
    """The tasks of an unpacked bundle; see `runyard.sdk.inspection`."""
    from runyard.sdk import inspection

    return inspection.inspect(folder)


def load(folder: str | Path, module: str, function: str) -> "LoadedTask":
    """Import a task from an unpacked bundle; raises NotLoaded.

    `module` and `function` are those of its declaration. The bundle's roots stay on `sys.path`, so
    a process loads the tasks of one bundle only; what it prints and logs is captured from now on.
    """
    folder = Path(folder).resolve()
    capture()
    try:
        extend_path(folder)
        found = getattr(import_module(module), function)
        if not isinstance(found, Task):
            raise TypeError(f"{module}.{function} is not a task")
        loaded = LoadedTask(found.function, folder)
    except BaseException as raised:  # noqa: BLE001 - the child supervises the task's module
        raise NotLoaded(error_of(raised, folder)) from None
    capture_logging()
    return loaded


class LoadedTask:
    """A task's function, ready to be called with JSON."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        """Prepare a function whose own code is inside `folder`; raises Unsupported."""
        signature = read_signature(function)
        self._folder = folder
        self._inputs: Final = signature.inputs
        self._arguments = _argument_reader(signature)
        self._invoke = _invoker(function)
        self._outputs = _OutputWriter(signature)

    def call(self, raw_input: bytes, context: RunContext, channel: Channel) -> bytes | None:
        """The outputs as a JSON object; None when there are none (see `_OutputWriter`).

        Raises an TaskFailed. Not to be called by two threads at once.
        """
        if CURRENT.streams and "logging" in sys.modules:
            capture_logging()
        CURRENT.enter(context, channel)
        try:
            args, kwargs = self._read(raw_input)
            channel.begin()
            return self._outputs.write(self._perform(args, kwargs))
        finally:
            CURRENT.leave()

    def _read(self, raw_input: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            return self._arguments(raw_input)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputInvalid(self._input_error(raw_input, error)) from None

    def _input_error(self, raw_input: bytes, error: Exception) -> RunError:
        problems = shape(tuple(member.field for member in self._inputs)).problems(raw_input)
        message = str(InputRefused(problems)) if problems else str(error)
        return RunError(kind="InputInvalid", message=message)

    def _perform(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - what the task returns
        try:
            return self._invoke(*args, **kwargs)
        except AttemptOver:
            raise
        except BaseException as raised:  # noqa: BLE001 - the child supervises the task's call
            raise Raised(error_of(raised, self._folder)) from None


# ---------------------------------------------------------------- the way in


def _argument_reader(
    signature: Signature,
) -> Callable[[bytes], tuple[tuple[Any, ...], dict[str, Any]]]:
    """How an input becomes the arguments of the function."""
    nothing: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    decoder = msgspec.json.Decoder(_arguments_struct(signature.inputs))
    reads = [(place, m.read) for place, m in enumerate(signature.inputs) if m.read is not None]
    by_place = len(signature.inputs) - len(signature.by_name)
    names = [member.field.parameter for member in signature.inputs[by_place:]]
    astuple = msgspec.structs.astuple

    def read(raw: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        values = astuple(decoder.decode(raw))
        if not reads and not names:
            return values, {}
        travelled = list(values)
        for place, travel in reads:
            travelled[place] = travel(travelled[place])
        return tuple(travelled[:by_place]), dict(zip(names, travelled[by_place:], strict=True))

    def read_nothing(raw: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return nothing if raw == NO_VALUES else read(raw)

    return read if signature.inputs else read_nothing


def _arguments_struct(inputs: tuple[Member, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Arguments",
        [(f"f{place}", member.native) for place, member in enumerate(inputs)],
        rename={f"f{place}": member.field.name for place, member in enumerate(inputs)},
        forbid_unknown_fields=True,
        gc=False,
    )


# ---------------------------------------------------------------- the call


def _invoker(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or for an asynchronous one a function that runs it to its end."""
    if not iscoroutinefunction(function):
        return function
    loops = _Loops()

    def invoke(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the task's own arguments
        return loops.run(function(*args, **kwargs))

    return invoke


class _Loops:
    """The event loop that the asynchronous tasks of a process share, one run after the other."""

    _shared: "ClassVar[asyncio.AbstractEventLoop | None]" = None

    def __init__(self) -> None:
        import asyncio

        self._asyncio = asyncio

    def run(self, coroutine: Any) -> Any:  # noqa: ANN401 - the task's own coroutine and result
        """Run to the end, and end whatever it has left running."""
        loop = self._loop()
        try:
            return loop.run_until_complete(coroutine)
        finally:
            self._cancel_leftovers(loop)

    def _loop(self) -> "asyncio.AbstractEventLoop":
        loop = _Loops._shared
        if loop is None or loop.is_closed():
            loop = _Loops._shared = self._asyncio.new_event_loop()
        self._asyncio.set_event_loop(loop)
        return loop

    def _cancel_leftovers(self, loop: "asyncio.AbstractEventLoop") -> None:
        leftovers = self._asyncio.all_tasks(loop)
        if not leftovers:
            return
        for leftover in leftovers:
            leftover.cancel()
        loop.run_until_complete(self._asyncio.gather(*leftovers, return_exceptions=True))


# ---------------------------------------------------------------- the way out


class _OutputWriter:
    """Makes JSON of what a task returns.

    Nothing (None) comes of a task that declares no data, of one that returns None, and of one whose
    only output is a table when that has no rows.
    """

    def __init__(self, signature: Signature) -> None:
        self._fields = signature.outputs
        self._shape = shape(signature.outputs)
        self._write = signature.write
        self._prefix = b""
        self._empty = b""
        if signature.is_bare:
            self._prefix = b"{" + msgspec.json.encode(signature.outputs[0].name) + b":"
        if signature.may_be_empty_table:
            self._empty = self._prefix + b"[]}"

    def write(self, value: object) -> bytes | None:
        """The outputs, or None for nothing; raises OutputInvalid."""
        if value is None:
            return None
        if not self._fields:
            raise _output_invalid(f"it declares no data and returned {_shown(value)}")
        raw = self._encoded(value)
        if raw == self._empty:
            return None
        try:
            return self._shape.accept(raw)
        except InputRefused as refused:
            raise _output_invalid(_said(refused.problems)) from None

    def _encoded(self, value: object) -> bytes:
        try:
            raw = msgspec.json.encode(self._write(value) if self._write else value)
        except (TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
            raise _output_invalid(f"what it returned cannot be written as JSON: {error}") from None
        return self._prefix + raw + b"}" if self._prefix else raw


def _said(problems: tuple[FieldProblem, ...]) -> str:
    return "; ".join(f"{p.field} is {p.seen}; declared: {p.allowed}" for p in problems)


def _output_invalid(message: str) -> OutputInvalid:
    return OutputInvalid(RunError(kind="OutputInvalid", message=message))


def _shown(value: object) -> str:
    return f"a {type(value).__qualname__}"


__all__ = [
    "AttemptOver",
    "Channel",
    "CodeRefused",
    "InputInvalid",
    "LoadedTask",
    "NotLoaded",
    "OutputInvalid",
    "Raised",
    "RunContext",
    "TaskFailed",
    "inspect",
    "load",
    "static_requirements",
]
