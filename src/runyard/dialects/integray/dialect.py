"""What all operations share: how the operator wants the dialect, and its ways of reading and answering."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from runyard.dialects.integray.profile import SLUG, Profile
from runyard.dialects.integray.statuses import Statuses, StatusId
from runyard.model.companies import Company
from runyard.model.errors import RunNotFound, TaskNotFound
from runyard.model.ids import GateId
from runyard.model.runs import Run
from runyard.model.tasks import Task
from runyard.web.asgi import Headers
from runyard.web.requests import Request, refused
from runyard.web.responses import ENCODER, Response
from runyard.web.validation import refuse_repeated_names, struct_from_json

S = TypeVar("S", bound=msgspec.Struct)

RUN_PATH = "/{CompanySlug}/taskruns/{taskRunId}"
_LONGEST_ID = 19


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the operator wants what the vendor's public pages leave open."""

    kill_status: Literal[303, 301] = 303
    """Of task runs that Kill has ended."""
    clean_mode: Literal["cancel", "delete"] = "cancel"
    """What Clean does with task runs."""
    not_runnable: Literal["refuse", "queue"] = "refuse"
    """What becomes of a start of a task that is not runnable."""
    profile: Profile = Profile()


class Dialect:
    """The dialect as one door speaks it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.profile = options.profile
        self.statuses = Statuses(StatusId(options.kill_status))

    # ------------------------------------------------------------ reading

    async def json(self, request: Request, shape: type[S]) -> S:
        """The body as this shape."""
        if not self.profile.names:
            return await request.json(shape)
        request.demand_json()
        return struct_from_json(self._usual(await request.body()), shape)

    async def json_or(self, request: Request, absent: S) -> S:
        """The body as the shape of `absent`, which is the answer when there is none."""
        if not self.profile.names or not request.has_body:
            return await request.json_or(absent)
        return await self.json(request, type(absent))

    def _usual(self, body: bytes) -> bytes:
        refuse_repeated_names(body)
        try:
            return ENCODER.encode(self.profile.usual_names(msgspec.json.decode(body)))
        except msgspec.DecodeError:
            return body  # whoever decodes it next says what is wrong

    # ------------------------------------------------------------ answering

    def answer(
        self,
        value: msgspec.Struct | Sequence[msgspec.Struct],
        status: int = 200,
        headers: Headers | None = None,
    ) -> Response:
        """A success."""
        body = ENCODER.encode(value)
        if self.profile.names:
            body = ENCODER.encode(self.profile.their_names(msgspec.json.decode(body)))
        return Response(body, status=status, headers=headers)

    def run_address(self, request: Request, run: int) -> bytes:
        """Where a run is read, beginning with the server's public address."""
        path = self.profile.placement("getTaskRun").path or RUN_PATH
        values = {SLUG: request.company.slug, "taskRunId": str(run)}
        missing = {name: value for name, value in values.items() if f"{{{name}}}" not in path}
        address = f"{request.house.public_url}{self.profile.base}{path.format(**values)}"
        return (f"{address}?{urlencode(missing)}" if missing else address).encode()

    def status(self, run: Run, stranded: frozenset[GateId]) -> StatusId:
        """The status of a run; gates in `stranded` wait for a worker that fits."""
        return self.statuses.of(
            run.state,
            run.cause,
            has_begun=run.has_begun,
            is_stranded=run.gate_id in stranded,
        )


async def the_task(request: Request, company: Company) -> Task:
    """The task whose id the address has; raises TaskNotFound, InputRefused for what is no id."""
    number = _number("taskId", request.params)
    task = None
    if number is not None:
        task = await request.engine.tasks.load(company, str(number))
    if task is None or task.id != number:  # a task may be named like a number
        raise TaskNotFound(f"there is no task {request.params['taskId']}")
    return task


async def the_run(request: Request, company: Company) -> Run:
    """The run whose id the address has; raises RunNotFound, InputRefused for what is no id."""
    number = _number("taskRunId", request.params)
    if number is None:
        raise RunNotFound(f"there is no task run {request.params['taskRunId']}")
    return await request.engine.runs.load(company, str(number))


def _number(name: str, params: Mapping[str, str]) -> int | None:
    """The id of this name; None when nothing can have so large a one."""
    text = params[name]
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise refused(name, text, "an id: a whole number from 1 on, in decimal digits")
    digits = text.lstrip("0")
    return None if len(digits) >= _LONGEST_ID else int(digits)
