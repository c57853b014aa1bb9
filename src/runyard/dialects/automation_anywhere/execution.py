"""Execute: an API Task is called in a warm child, and its outputs come back in the same answer.

This is the dialect's hot route. The token was recognised before, the input is decoded once, read by
the types that the serving version declares, and handed to the engine as JSON of our own.
"""

from collections.abc import AsyncIterator, Mapping

from runyard.dialects.automation_anywhere import shapes
from runyard.dialects.automation_anywhere.admission import token_in
from runyard.dialects.automation_anywhere.outcomes import returned
from runyard.dialects.automation_anywhere.reading import Read
from runyard.dialects.automation_anywhere.short_execution import ShortExecution
from runyard.dialects.automation_anywhere.versions import Values, Versions
from runyard.dialects.automation_anywhere.wire import (
    NotAllocated,
    TokenMismatch,
    ValuesRefused,
)
from runyard.dialects.automation_anywhere.writing import Link
from runyard.engine.calls import Spilled
from runyard.engine.engine import Engine
from runyard.engine.tickets import Guest
from runyard.model.companies import Company
from runyard.model.errors import AllocationNotFound, FieldProblem, InputRefused, KeptElsewhere
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.stores.contract.calls import CallRecord
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.errors import RouteNotFound
from runyard.web.house import House
from runyard.web.permissions import demand
from runyard.web.requests import demand_json, read_body
from runyard.web.responses import ENCODER, send_bytes
from runyard.web.routing import Route
from runyard.web.shortcuts import REMEMBER
from runyard.web.validation import struct_from_json

LARGEST_BODY = 4 * 1024 * 1024
MOST_ADMISSIONS = 1_000
INPUT = "botInput"


class Executor:
    """Executes API Tasks."""

    def __init__(self) -> None:
        self._versions = Versions()
        self._admissions: dict[tuple[str, str, str], tuple[Guest, Company]] = {}
        """Who may execute what, by token, task and tenant: as long as guest and company are the same
        objects, nothing about them has changed."""

    async def execute(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Execute an API Task now and answer with its outputs. The address and the token come from the
        access details; the token of a login is taken as well.

        Nothing is queued and nothing is tried again. A call that exceeds the concurrency limit is
        answered 429 at once.
        """
        engine = house.engine
        headers: dict[bytes, bytes] = dict(scope["headers"])
        token = token_in(headers)
        guest, company = await self._admitted(engine, token, params)
        house.refuse_while_stopping()
        body = await read_body(headers, receive, LARGEST_BODY)
        asked = _asked(headers, body)
        task = await engine.directory.task(company.id, params["botId"])
        try:
            values = await self._serving(engine, task)
        except KeptElsewhere as elsewhere:
            await house.forwarding.pass_on(elsewhere, scope, headers, body, send)
            return
        raw = await _input(engine, company, values, asked)
        record = await _called(engine, company, task, raw)
        found = returned(record)
        # Perhaps of another version, which took over meanwhile.
        values = await self._versions.of(engine, record.version_id)
        link = file_links(house, company)
        answer = values.written(found, link)
        if REMEMBER in scope:
            opening = await engine.calls.opening(company, params["botId"])
            if opening is not None:
                shortcut = ShortExecution(house, token, guest, opening, self._versions, link)
                scope[REMEMBER](shortcut)
        await send_bytes(send, 200, answer, extra=[(b"x-execution-id", b"%d" % record.id)])

    async def _admitted(
        self, engine: Engine, token: str, params: Mapping[str, str]
    ) -> tuple[Guest, Company]:
        """The caller, and the company in which that one may call this task; raises Unauthenticated, TokenMismatch,
        Forbidden.
        """
        bot, tenant = params["botId"], params["tenant"]
        guest = engine.tickets.recall(token) or await engine.tickets.authenticate(token)
        company = await engine.directory.company_by_id(guest.company.id)
        known = self._admissions.get((token, bot, tenant))
        if known is None or known[0] is not guest or known[1] is not company:
            _demand_call(guest, company, bot, tenant)
            if len(self._admissions) >= MOST_ADMISSIONS:
                self._admissions.clear()
            self._admissions[token, bot, tenant] = (guest, company)
        return guest, company

    async def _serving(self, engine: Engine, task: Task) -> Values:
        """How values of the version that serves now are read and written."""
        try:
            await engine.calls.demand_here(task)
            _, version = engine.allocations.kept(task).serving()
        except AllocationNotFound:
            raise NotAllocated from None
        return await self._versions.of(engine, version)

    def route(self) -> Route:
        """Where it stands."""
        return Route(
            method="POST",
            path="/hotbot/{botId}/{tenant}/execute",
            operation=ShortExecution.operation,
            title="Execute an API Task",
            permission=Permission.OPERATE,
            hot=self.execute,
            tag="API Task",
            body=shapes.Execution,
            is_body_optional=True,
            answer=shapes.ExecutionResult,
            answer_headers={"X-Execution-Id": "Names the execution among the activity."},
        )


def _demand_call(guest: Guest, company: Company, bot: str, tenant: str) -> None:
    """Raise unless this token calls this task of this tenant."""
    if not bot.isdigit():
        raise RouteNotFound
    if guest.task_id is not None and str(guest.task_id) != bot:
        raise TokenMismatch
    if tenant != str(company.uuid):
        raise TokenMismatch
    demand(Permission.OPERATE, guest.user, company)


def _asked(headers: Mapping[bytes, bytes], body: bytes) -> Mapping[str, object]:
    """The values that the caller sent, by name."""
    if not body:
        return {}
    demand_json(headers)
    asked = struct_from_json(body, shapes.Execution)
    found = asked.bot_input
    return (found if found is not None else asked.bot_input_too) or {}


async def _input(
    engine: Engine, company: Company, values: Values, asked: Mapping[str, object]
) -> bytes:
    """The input as JSON of our own; files that came inside it are kept. Raises ValuesRefused."""
    read = values.inputs.read(asked)
    if read.problems:
        raise ValuesRefused([placed(problem) for problem in read.problems])
    if read.uploads:
        await keep_uploads(engine, company, read)
    return ENCODER.encode(read.values)


async def keep_uploads(engine: Engine, company: Company, read: Read) -> None:
    """Keep the files that came inside values, and fill in their ids."""
    for upload in read.uploads:
        file = await engine.files.keep(
            company.id,
            upload.name,
            upload.content_type,
            _parts(upload.content),
            limit=LARGEST_BODY,
        )
        upload.place["file"] = file.id


async def _parts(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _called(engine: Engine, company: Company, task: Task, raw: bytes) -> CallRecord:
    try:
        ended = await engine.calls.call(company, str(task.id), raw, spills=False)
    except InputRefused as refused:
        raise ValuesRefused([placed(problem) for problem in refused.problems]) from None
    assert not isinstance(ended, Spilled)
    return ended


def placed(problem: FieldProblem) -> FieldProblem:
    """A problem with the place where callers have sent it."""
    return FieldProblem(
        field=f"{INPUT}.{problem.field}", seen=problem.seen, allowed=problem.allowed
    )


def file_links(house: House, company: Company) -> Link:
    """The addresses of a company's files."""
    base = f"{house.public_url}/runyard/v1/companies/{company.slug}/files"
    return lambda file: f"{base}/{file}/content"
