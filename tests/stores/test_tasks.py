"""Deploys, tasks, versions and gates."""

import asyncio
from typing import Any

import msgspec

from runyard.model.ids import ActorId, VersionId, encode_public_id
from runyard.model.tasks import Gate, Policies, RetryPolicy
from runyard.model.types import Field, Text
from runyard.stores.contract.tasks import TaskChange
from tests.stores.builders import (
    ACME,
    GLOBEX,
    NOW,
    KnownTask,
    World,
    a_declaration,
    a_deploy,
    later,
)


def a_new_version(world: World, task: KnownTask, **declared: Any) -> TaskChange:
    return msgspec.structs.replace(
        task.change,
        expected_version_id=task.version,
        version_id=VersionId(world.next_id()),
        version=2,
        declaration=a_declaration(**declared),
    )


async def test_a_deployed_task_is_found_in_every_way(world: World) -> None:
    task = await world.add_task()
    tasks = world.store.tasks

    found = await tasks.find(ACME, task.id)

    assert found is not None
    uuid = task.change.uuid
    assert (found.id, found.company_id, found.uuid) == (task.id, ACME, uuid)
    assert found.public_id == encode_public_id(uuid.bytes)
    assert (found.key, found.name, found.path) == ("Zip code", "Zip code", "Bots/Zip code")
    assert (found.version_id, found.version, found.gate_id) == (task.version, 1, task.gate)
    assert (found.bundle_name, found.runnable) == ("examples", True)
    assert (found.withdrawn_at, found.created_at) == (None, NOW)
    assert await tasks.find_by_uuid(ACME, uuid) == found
    assert await tasks.find_by_name(ACME, "Zip code") == found
    assert await tasks.list(ACME) == [found]


async def test_a_version_keeps_its_whole_declaration(world: World) -> None:
    policies = Policies(retry=RetryPolicy(retries=3), labels=("gpu", "cz"), concurrency=4)
    task = await world.add_task()
    change = a_new_version(
        world,
        task,
        inputs=(Field(name="zip", parameter="zip", type=Text()),),
        policies=policies,
        requirements=("zipcodes>=1.2",),
    )
    await world.store.tasks.deploy(a_deploy([change], bundle_digest="b" * 64, at=later(5)))

    version = await world.store.tasks.version(change.version_id)

    assert version is not None
    assert version.declaration == change.declaration
    assert (version.number, version.bundle_digest) == (2, "b" * 64)
    assert (version.task_id, version.company_id, version.created_at) == (task.id, ACME, later(5))
    numbers = [found.number for found in await world.store.tasks.versions(ACME, task.id)]
    assert numbers == [2, 1]


async def test_a_version_keeps_who_has_deployed_it(world: World) -> None:
    task = await world.add_task()
    change = a_new_version(world, task)

    assert await world.store.tasks.deploy(a_deploy([change], by=ActorId(77)))

    newer, older = await world.store.tasks.versions(ACME, task.id)
    assert (newer.deployed_by, older.deployed_by) == (77, None)


async def test_a_new_version_moves_the_task_and_its_gate(world: World) -> None:
    task = await world.add_task(concurrency=1)
    change = a_new_version(
        world, task, path="Bots/New", policies=Policies(concurrency=7, labels=("gpu",))
    )

    assert await world.store.tasks.deploy(a_deploy([change]))

    found = await world.store.tasks.find(ACME, task.id)
    gate = await world.store.tasks.gate(task.gate)
    assert found is not None
    assert (found.version_id, found.version, found.path) == (change.version_id, 2, "Bots/New")
    assert gate == Gate(
        id=task.gate,
        company_id=ACME,
        task_id=task.id,
        runnable=True,
        company_runnable=True,
        limit=7,
        labels=("gpu",),
        priority_offset=0,
        withdrawn=False,
    )


async def test_a_deploy_from_an_old_version_changes_nothing(world: World) -> None:
    task = await world.add_task()
    stale = msgspec.structs.replace(
        a_new_version(world, task), expected_version_id=VersionId(task.version + 500)
    )
    task_id, gate_id = world.next_id(), world.next_id()
    fresh = msgspec.structs.replace(
        task.change,
        id=task_id,
        gate_id=gate_id,
        version_id=world.next_id(),
        declaration=a_declaration("Fresh"),
    )

    assert not await world.store.tasks.deploy(a_deploy([fresh, stale], withdrawn=(task.id,)))

    [found] = await world.store.tasks.list(ACME, include_withdrawn=True)
    assert (found.version, found.withdrawn_at) == (1, None)
    assert await world.store.tasks.gates() == [await world.store.tasks.gate(task.gate)]
    assert await world.store.tasks.version(stale.version_id) is None


async def test_a_task_that_exists_is_not_created_again(world: World) -> None:
    task = await world.add_task()
    again = msgspec.structs.replace(
        task.change, id=world.next_id(), gate_id=world.next_id(), version_id=world.next_id()
    )

    assert not await world.store.tasks.deploy(a_deploy([again]))
    assert len(await world.store.tasks.list(ACME)) == 1


async def test_of_two_deploys_of_one_version_one_counts(world: World) -> None:
    task = await world.add_task()
    changes = [a_new_version(world, task), a_new_version(world, task)]

    outcomes = await asyncio.gather(
        *(world.store.tasks.deploy(a_deploy([change])) for change in changes)
    )

    assert sorted(outcomes) == [False, True]
    assert len(await world.store.tasks.versions(ACME, task.id)) == 2


async def test_an_unchanged_task_keeps_its_version(world: World) -> None:
    task = await world.add_task()
    same = msgspec.structs.replace(task.change, expected_version_id=task.version)

    assert await world.store.tasks.deploy(a_deploy([same], bundle_digest="c" * 64))

    assert len(await world.store.tasks.versions(ACME, task.id)) == 1
    assert await world.store.tasks.bundles_in_use() == ["a" * 64]


async def test_a_withdrawn_task_is_kept_and_can_come_back(world: World) -> None:
    task, other = await world.add_task(), await world.add_task(name="Other")
    same = msgspec.structs.replace(task.change, expected_version_id=task.version)

    await world.store.tasks.deploy(a_deploy([], withdrawn=(task.id,), at=later(5)))

    gate = await world.store.tasks.gate(task.gate)
    found = await world.store.tasks.find(ACME, task.id)
    assert gate is not None
    assert found is not None
    assert (gate.withdrawn, found.withdrawn_at) == (True, later(5))
    assert [listed.id for listed in await world.store.tasks.list(ACME)] == [other.id]
    assert len(await world.store.tasks.list(ACME, include_withdrawn=True)) == 2

    await world.store.tasks.deploy(a_deploy([same]))

    back = await world.store.tasks.find(ACME, task.id)
    assert back is not None
    assert back.withdrawn_at is None
    gate = await world.store.tasks.gate(task.gate)
    assert gate is not None
    assert not gate.withdrawn


async def test_a_name_stands_for_the_key_first(world: World) -> None:
    named = await world.add_task(name="Report")
    await world.store.tasks.deploy(
        a_deploy([a_new_version(world, named, name="Summary", key="Report")])
    )
    other = await world.add_task(name="Summary")

    by_key = await world.store.tasks.find_by_name(ACME, "Summary")
    by_old_key = await world.store.tasks.find_by_name(ACME, "Report")

    assert by_key is not None
    assert by_old_key is not None
    assert (by_key.id, by_old_key.id, by_old_key.name) == (other.id, named.id, "Summary")


async def test_tasks_are_listed_by_path_and_name(world: World) -> None:
    for name in ("b", "a", "c"):
        await world.add_task(name=name)

    assert [task.name for task in await world.store.tasks.list(ACME)] == ["a", "b", "c"]


async def test_a_task_is_not_found_through_another_company(world: World) -> None:
    await world.add_company(GLOBEX, "globex")
    task = await world.add_task()
    tasks = world.store.tasks

    assert await tasks.find(GLOBEX, task.id) is None
    assert await tasks.find_by_uuid(GLOBEX, task.change.uuid) is None
    assert await tasks.find_by_name(GLOBEX, "Zip code") is None
    assert await tasks.versions(GLOBEX, task.id) == []
    assert await tasks.list(GLOBEX, include_withdrawn=True) == []
    assert not await tasks.set_runnable(GLOBEX, task.id, runnable=False)
    stale = a_new_version(world, task)
    assert not await tasks.deploy(a_deploy([stale], company_id=GLOBEX))


async def test_both_companies_may_have_a_task_of_one_name(world: World) -> None:
    await world.add_company(GLOBEX, "globex")

    here, there = await world.add_task(ACME), await world.add_task(GLOBEX)

    found = await world.store.tasks.find_by_name(GLOBEX, "Zip code")
    assert found is not None
    assert found.id == there.id != here.id


async def test_a_task_shows_whether_it_is_runnable(world: World) -> None:
    task = await world.add_task()

    assert await world.store.tasks.set_runnable(ACME, task.id, runnable=False)
    assert not await world.store.tasks.set_runnable(ACME, 999, runnable=False)

    found = await world.store.tasks.find(ACME, task.id)
    gate = await world.store.tasks.gate(task.gate)
    assert found is not None
    assert gate is not None
    assert (found.runnable, gate.runnable, gate.company_runnable) == (False, False, True)
    assert await world.store.tasks.gate(999) is None
