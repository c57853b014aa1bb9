"""Systems: let in by their UUID once allowed, kept out at once, told apart by what they start."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runyard.engine.engine import Engine, EngineSettings
from runyard.engine.starts import RestartRequest, StartRequest
from runyard.engine.systems import MOST_HOSTS, NewSystem, SystemChange
from runyard.model.companies import Company
from runyard.model.errors import (
    InputRefused,
    NameTaken,
    SystemNotAllowed,
    SystemNotFound,
    TokenNotFound,
    Unauthenticated,
    WrongMasterKey,
)
from runyard.model.ids import ActorId, RunId
from runyard.model.logs import LogLevel
from runyard.model.runs import Run
from runyard.model.states import RunState
from runyard.model.systems import System, SystemState
from runyard.model.types import Field, FileValue
from runyard.outbound.addresses import Allowances
from runyard.outbound.client import OutboundClient
from runyard.stores.contract.store import Store
from runyard.telemetry import SYSTEM_CHANGED, listening
from tests.support.pair import Pair, opened_pair, until
from tests.support.receiver import Exchange, receiving
from tests.support.turned_clock import TurnedClock
from tests.support.yard import Yard, opened_yard

SCAN = Field(name="scan", parameter="scan", type=FileValue())
LOOPBACK = "127.0.0.1"


async def a_system(yard: Yard, name: str = "Finance", **changes: object) -> NewSystem:
    given = {"allowed": True, **changes}
    return await yard.engine.systems.create(yard.company, name, **given)  # type: ignore[arg-type]


async def loaded(yard: Yard, ref: str = "Finance") -> System:
    return await yard.engine.systems.load(yard.company.id, ref)


# ---------------------------------------------------------------- who may call


async def test_a_new_system_waits_to_be_allowed(yard: Yard) -> None:
    created = await a_system(yard, allowed=False)

    assert created.system.state is SystemState.REQUEST
    with pytest.raises(SystemNotAllowed, match="'Finance' waits to be allowed") as refused:
        await yard.engine.systems.admit(created.uuid)
    assert refused.value.system.state is SystemState.REQUEST


async def test_an_allowed_system_is_let_in(yard: Yard) -> None:
    created = await a_system(yard, allowed=False)

    await yard.engine.systems.allow(created.system)

    admitted = await yard.engine.systems.admit(created.uuid)
    assert (admitted.id, admitted.company_id) == (created.system.id, yard.company.id)


async def test_a_system_may_be_made_allowed(yard: Yard) -> None:
    created = await a_system(yard, allowed=True)

    assert (await yard.engine.systems.admit(created.uuid)).id == created.system.id


async def test_a_uuid_is_the_same_in_capitals(yard: Yard) -> None:
    created = await a_system(yard)

    assert (await yard.engine.systems.admit(created.uuid.upper())).id == created.system.id


async def test_a_locked_system_is_kept_out_at_once_and_let_in_again(yard: Yard) -> None:
    created = await a_system(yard)
    await yard.engine.systems.admit(created.uuid)

    await yard.engine.systems.keep_out(created.system)

    with pytest.raises(SystemNotAllowed, match="is locked"):
        await yard.engine.systems.admit(created.uuid)
    await yard.engine.systems.allow(created.system)
    assert (await yard.engine.systems.admit(created.uuid)).is_allowed


@pytest.mark.parametrize(
    "uuid",
    [
        None,
        "",
        "7c11",
        "0d6c1f0e-1f5b-4b0e-9a53-8e6a2f6f7c11",
        "0d6c1f0e1f5b4b0e9a538e6a2f6f7c11",
        "{0d6c1f0e-1f5b-4b0e-9a53-8e6a2f6f7c11}",
        "0d6c1f0e-1f5b-4b0e-9a53-8e6a2f6f7c1\u0661",
        "'; DROP TABLE systems; --",
    ],
)
async def test_what_is_no_uuid_of_a_system_is_refused(yard: Yard, uuid: str | None) -> None:
    await a_system(yard)

    with pytest.raises(Unauthenticated):
        await yard.engine.systems.admit(uuid)


async def test_a_system_decided_upon_while_it_is_being_recognised_is_not_remembered(
    yard: Yard,
) -> None:
    created = await a_system(yard)
    find = yard.store.systems.find_by_digest

    async def find_and_lock(digest: bytes) -> System | None:
        yard.store.systems.find_by_digest = find  # type: ignore[method-assign]
        found = await find(digest)
        await yard.engine.systems.keep_out(created.system)
        return found

    yard.store.systems.find_by_digest = find_and_lock  # type: ignore[method-assign]

    with pytest.raises(SystemNotAllowed):
        await yard.engine.systems.admit(created.uuid)


async def test_a_systems_uuid_opens_no_other_door(yard: Yard) -> None:
    created = await a_system(yard)

    with pytest.raises(Unauthenticated):
        await yard.engine.tokens.authenticate(created.uuid)
    with pytest.raises(TokenNotFound):
        await yard.engine.tokens.revoke(yard.company.id, created.system.id)  # type: ignore[arg-type]


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[Pair]:
    async with opened_pair(postgres_dsn, memory_path) as pair:
        yield pair


async def test_a_system_locked_at_one_server_is_kept_out_by_another(pair: Pair) -> None:
    created = await a_system(pair.here)
    others = pair.there.engine.systems
    await others.admit(created.uuid)

    await pair.here.engine.systems.keep_out(created.system)

    await until(lambda: created.uuid not in others._known)
    with pytest.raises(SystemNotAllowed):
        await others.admit(created.uuid)


async def test_another_server_trusts_what_it_knows_for_a_second_at_most(pair: Pair) -> None:
    created = await a_system(pair.here)
    others = pair.there.engine.systems
    await others.admit(created.uuid)
    await pair.here.store.systems.set_state(  # and nobody tells
        created.system.id, SystemState.LOCKED, pair.clock.now()
    )

    pair.clock.advance(timedelta(seconds=1.001))

    with pytest.raises(SystemNotAllowed):
        await others.admit(created.uuid)


# ---------------------------------------------------------------- the UUID


async def test_the_uuid_of_a_system_is_told_again_only_to_the_engine(yard: Yard) -> None:
    created = await a_system(yard)

    [listed] = await yard.engine.systems.list(yard.company)

    assert created.uuid not in repr(listed)
    assert created.uuid.encode() not in listed.sealed
    assert listed.last_characters == created.uuid[-4:]
    assert yard.engine.systems.reveal(listed) == created.uuid


async def test_one_systems_uuid_does_not_open_as_anothers(yard: Yard) -> None:
    finance, sales = await a_system(yard), await a_system(yard, "Sales")

    swapped = msgspec.structs.replace(sales.system, sealed=finance.system.sealed)

    with pytest.raises(WrongMasterKey):
        yard.engine.systems.reveal(swapped)


async def test_without_its_master_key_a_server_lets_in_but_tells_and_makes_no_uuid(
    store: Store,
) -> None:
    async with opened_yard(store) as yard:
        created = await a_system(yard)
    settings = EngineSettings(server="test", master_key=b"another")

    async with Engine(store, TurnedClock(), settings) as engine:
        admitted = await engine.systems.admit(created.uuid)
        with pytest.raises(WrongMasterKey):
            engine.systems.reveal(admitted)
        with pytest.raises(WrongMasterKey):
            await engine.systems.create(yard.company, "Sales")
        with pytest.raises(WrongMasterKey):
            await engine.systems.renew(admitted)


async def test_a_new_uuid_opens_and_the_one_before_does_not(yard: Yard) -> None:
    created = await a_system(yard)
    await yard.engine.systems.admit(created.uuid)

    renewed = await yard.engine.systems.renew(created.system)

    assert renewed.uuid != created.uuid
    assert renewed.system.last_characters == renewed.uuid[-4:]
    assert yard.engine.systems.reveal(renewed.system) == renewed.uuid
    assert (await yard.engine.systems.admit(renewed.uuid)).id == created.system.id
    with pytest.raises(Unauthenticated, match="no system has this UUID"):
        await yard.engine.systems.admit(created.uuid)


async def test_a_removed_system_is_unknown_at_once_but_its_answers_still_name_it(
    yard: Yard,
) -> None:
    created = await a_system(yard)
    await yard.engine.systems.admit(created.uuid)

    await yard.engine.systems.remove(created.system)

    with pytest.raises(Unauthenticated):
        await yard.engine.systems.admit(created.uuid)
    assert await yard.engine.systems.list(yard.company) == []
    gone = await yard.engine.systems.find(created.system.id)
    assert gone is not None
    assert not gone.is_allowed
    assert yard.engine.systems.reveal(gone) == created.uuid


async def test_nothing_is_done_to_a_removed_system(yard: Yard) -> None:
    created = await a_system(yard)
    systems, gone = yard.engine.systems, created.system
    await systems.remove(gone)

    for doing in (
        systems.allow(gone),
        systems.keep_out(gone),
        systems.renew(gone),
        systems.remove(gone),
        systems.change(gone, SystemChange(name="Other")),
        systems.load(yard.company.id, "Finance"),
    ):
        with pytest.raises(SystemNotFound):
            await doing


# ---------------------------------------------------------------- names, hosts, places


async def test_systems_are_listed_by_state_newest_first(yard: Yard) -> None:
    await a_system(yard, "One", allowed=False)
    yard.clock.advance(timedelta(seconds=1))
    await a_system(yard, "Two")
    await a_system(yard, "Three")

    systems = yard.engine.systems
    everybody = [system.name for system in await systems.list(yard.company)]
    allowed = [system.name for system in await systems.list(yard.company, SystemState.ALLOWED)]
    assert everybody == ["Three", "Two", "One"]
    assert allowed == ["Three", "Two"]


async def test_a_system_is_found_by_name_and_by_id_in_its_company_alone(yard: Yard) -> None:
    created = await a_system(yard)
    other = await yard.engine.companies.create("other")

    assert await loaded(yard, "Finance") == await loaded(yard, str(created.system.id))
    for ref in ("Finance", str(created.system.id)):
        with pytest.raises(SystemNotFound):
            await yard.engine.systems.load(other.id, ref)


async def test_a_changed_system_is_what_was_said_and_nothing_else(yard: Yard) -> None:
    created = await a_system(yard, description="Books invoices", files_from=["10.0.0.0/8"])
    yard.later(timedelta(minutes=5))

    renamed = await yard.engine.systems.change(created.system, SystemChange(name="  Accounts "))

    assert renamed == msgspec.structs.replace(
        created.system, name="Accounts", updated_at=yard.clock.now()
    )
    closed = await yard.engine.systems.change(renamed, SystemChange(files_from=[], description=""))
    assert (closed.name, closed.files_from, closed.description) == ("Accounts", (), "")


async def test_a_name_is_taken_once(yard: Yard) -> None:
    await a_system(yard)
    sales = await a_system(yard, "Sales")

    with pytest.raises(NameTaken, match="Finance"):
        await a_system(yard)
    with pytest.raises(NameTaken, match="Finance"):
        await yard.engine.systems.change(sales.system, SystemChange(name="Finance"))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "  "}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "717"}),
        ("description", {"description": "x" * 2001}),
        ("description", {"description": "a\x00b"}),
        ("files_from[1]", {"files_from": ["10.0.0.0/8", "10.0.0.1/8"]}),
        ("files_from[0]", {"files_from": ["http://host/"]}),
        ("files_from[0]", {"files_from": [""]}),
        ("files_from[0]", {"files_from": ["a\nb"]}),
        ("files_from[0]", {"files_from": ["*"]}),
        ("files_from", {"files_from": ["host"] * (MOST_HOSTS + 1)}),
    ],
)
async def test_what_does_not_fit_names_the_field(
    yard: Yard, field: str, given: dict[str, object]
) -> None:
    kept = await a_system(yard, "Kept")

    with pytest.raises(InputRefused) as refused:
        await a_system(yard, **{"name": "Finance", **given})
    assert [problem.field for problem in refused.value.problems] == [field]
    with pytest.raises(InputRefused):
        await yard.engine.systems.change(kept.system, SystemChange(**given))  # type: ignore[arg-type]
    assert [s.name for s in await yard.engine.systems.list(yard.company)] == ["Kept"]


async def test_where_a_system_calls_from_is_seen_at_once_and_written_down_later(yard: Yard) -> None:
    created = await a_system(yard, allowed=False)
    with pytest.raises(SystemNotAllowed):  # so that whoever decides sees where it asks from
        await yard.engine.systems.admit(created.uuid, "192.0.2.1")

    listed = await loaded(yard)
    stored = await yard.store.systems.find(created.system.id)
    await yard.engine.systems.note_uses()
    noted = await yard.store.systems.find(created.system.id)

    assert (listed.address, listed.last_seen_at) == ("192.0.2.1", yard.clock.now())
    assert stored is not None
    assert stored.last_seen_at is None
    assert noted == listed


async def test_the_last_call_of_a_busy_system_is_what_is_seen(yard: Yard) -> None:
    created = await a_system(yard)
    for address in ("192.0.2.1", "192.0.2.2"):
        yard.later(timedelta(seconds=1))
        await yard.engine.systems.admit(created.uuid, address)

    listed = await loaded(yard)

    assert (listed.address, listed.last_seen_at) == ("192.0.2.2", yard.clock.now())


async def test_every_decision_is_told_with_who_made_it(yard: Yard) -> None:
    ann = ActorId(7)
    systems = yard.engine.systems
    with listening() as heard:
        created = await a_system(yard, allowed=False, by=ann)
        await systems.allow(created.system, ann)
        await systems.keep_out(created.system)
        await systems.change(created.system, SystemChange(name="Accounts"), ann)
        renewed = await systems.renew(created.system, ann)
        await systems.remove(renewed.system, ann)

    told = [fields for event, fields in heard if event == SYSTEM_CHANGED]
    assert [(fields["change"], fields["by"]) for fields in told] == [
        ("created", ann),
        ("allowed", ann),
        ("locked", None),
        ("changed", ann),
        ("renewed", ann),
        ("removed", ann),
    ]
    assert {fields["system_id"] for fields in told} == {created.system.id}
    for uuid in (created.uuid, renewed.uuid):
        assert uuid not in repr(told)


# ---------------------------------------------------------------- what it starts


async def test_a_run_names_the_system_that_started_it_by_its_present_name(yard: Yard) -> None:
    created = await a_system(yard)
    await yard.a_task()
    run = await yard.a_run(by=created.system.actor)
    before = await yard.engine.actors.name(run.started_by)

    await yard.engine.systems.change(created.system, SystemChange(name="Accounts"))

    assert before == "system Finance"
    assert await yard.engine.actors.name(run.started_by) == "system Accounts"


async def test_a_run_belongs_to_the_system_that_started_it_and_so_do_its_restarts(
    yard: Yard,
) -> None:
    finance, sales = await a_system(yard), await a_system(yard, "Sales")
    await yard.a_task()
    worker = await yard.a_worker()
    run = await yard.a_run(by=finance.system.actor)
    await yard.executed(worker)
    again = await yard.engine.runs.restart(yard.company, str(run.id))
    others = await yard.a_run()
    systems = yard.engine.systems

    for own in (run, again):
        assert await systems.has_started(finance.system, own)
        assert not await systems.has_started(sales.system, own)
        starter = await systems.starter(own)
        assert starter is not None
        assert starter.id == finance.system.id
    assert not await systems.has_started(finance.system, others)
    assert await systems.starter(others) is None


async def contents(exchange: Exchange) -> None:
    await exchange.answer(body=b"scan")


async def missing(exchange: Exchange) -> None:
    await exchange.answer("404 Not Found")


async def started(yard: Yard, system: System | None, url: str, company: Company) -> Run:
    """A run of this system whose input names a file."""
    request = StartRequest(
        task="Work",
        input=msgspec.json.encode({"scan": {"url": url}}),
        by=None if system is None else system.actor,
        files_from=() if system is None else system.files_from,
    )
    begun = await yard.engine.starts.start(company, [request])
    return await yard.run(begun.runs[0].id)


async def until_state(yard: Yard, run: RunId, state: RunState) -> Run:
    async with asyncio.timeout(30):
        while (now := await yard.run(run)).state is not state:
            await asyncio.sleep(0)  # noqa: TID251 - reading may not wait for anything
            yard.clock.advance(timedelta(seconds=0.01))
    return now


@pytest.fixture
async def fetcher(store: Store) -> AsyncIterator[Yard]:
    """An engine that may visit no private address."""
    async with (
        OutboundClient(Allowances()) as outbound,
        opened_yard(store, None, "t", outbound) as yard,
    ):
        await yard.a_task(inputs=(SCAN,))
        yield yard


async def test_a_systems_hosts_are_open_to_the_files_of_its_runs_alone(fetcher: Yard) -> None:
    finance = await a_system(fetcher, files_from=[LOOPBACK])
    sales = await a_system(fetcher, "Sales")
    async with receiving(contents) as receiver:
        run = await started(fetcher, finance.system, f"{receiver.url}/a", fetcher.company)
        await until_state(fetcher, run.id, RunState.QUEUED)

        besides = ", or the files_from of the system 'Sales' alone"
        for stranger, end in ((sales.system, besides), (None, r"127\.0\.0\.1:\d+")):
            told = rf"127\.0\.0\.1.*rule.*allow_outbound.*{end}$"
            with pytest.raises(InputRefused, match=told):
                await started(fetcher, stranger, f"{receiver.url}/b", fetcher.company)
        assert [exchange.target for exchange in receiver.arrived] == ["/a"]


async def test_a_restart_visits_the_hosts_of_its_system_while_that_is_allowed(
    fetcher: Yard,
) -> None:
    finance = await a_system(fetcher, files_from=[LOOPBACK])
    async with receiving(missing) as receiver:
        run = await started(fetcher, finance.system, f"{receiver.url}/a", fetcher.company)
        failed = await until_state(fetcher, run.id, RunState.FAILED)

        again = await fetcher.engine.starts.restart(fetcher.company, failed, RestartRequest())
        await until_state(fetcher, again, RunState.FAILED)
        await fetcher.engine.systems.keep_out(finance.system)

        with pytest.raises(InputRefused, match="allow_outbound"):
            await fetcher.engine.starts.restart(fetcher.company, failed, RestartRequest())
        assert [exchange.target for exchange in receiver.arrived] == ["/a", "/a"]


async def test_the_log_of_a_refused_file_says_what_opens_its_host(fetcher: Yard) -> None:
    sales = await a_system(fetcher, "Sales")

    run = await started(fetcher, sales.system, "http://localhost:9/a", fetcher.company)
    await until_state(fetcher, run.id, RunState.FAILED)

    page = await fetcher.engine.logs.read(fetcher.company.id, run.id, LogLevel.INFO, 0, 10)
    last = page.lines[-1].text
    assert "127.0.0.1 may not be visited (rule: loopback)" in last
    assert "allow_outbound" in last
    assert last.endswith(", or the files_from of the system 'Sales' alone")
