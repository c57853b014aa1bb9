"""A worker whose disk is full: each run that needs room says so, and nothing else is in its way.

The limit to the size of files stands for the full disk: it holds for the worker alone, whose
children were started before.
"""

import asyncio
import contextlib
import json
import resource
from collections.abc import Iterator

from runyard.model.runs import Outcome
from tests.worker.server import a_worker
from tests.worker.test_calls import Allocated, result
from tests.worker.test_runs import HEAD, outputs

LENGTH = HEAD + "@task\ndef main(text: str) -> int:\n    return len(text)\n"
LARGE = json.dumps({"text": "x" * 1_000_000}).encode()


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_large_input_that_is_not_stored_costs_no_slot(server):
    """R2: the run stood before a child that was never told of it, which counted as busy for good."""
    version = server.introduce(LENGTH)
    await server.run(version, b'{"text":"a"}')

    with full_disk():
        async with asyncio.timeout(30):
            leases = server.assign(version, [LARGE] * 3)
            ends = [await server.end_of(lease) for lease in leases]

    assert {end.error.kind for end in ends} == {"NotStored"}
    assert server.worker.pool.busy == 0
    assert outputs(await server.run(version, LARGE))["result"] == 1_000_000


async def test_a_call_whose_input_is_not_stored_costs_no_child(server):
    allocated = Allocated(server)
    await allocated.warm(server.introduce(LENGTH))

    with full_disk():
        async with asyncio.timeout(30):
            end = await allocated.call(LARGE)

    assert end.error.kind == "NotStored"
    assert result(await allocated.call(LARGE)) == 1_000_000


async def test_a_bundle_that_is_not_stored_ends_the_runs_that_wait_for_it(server):
    """R2: the bytes that did not fit ended the reading of the conversation, and the run stayed."""
    version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n# " + "x" * 5_000)

    with full_disk():
        async with asyncio.timeout(30):
            end = await server.run(version)

    assert end.error.kind == "BundleNotFetched"
    assert "not stored" in end.error.message
    assert outputs(await server.run(version))["result"] == 1


async def test_an_output_file_of_which_no_copy_is_kept_arrives_all_the_same(folder):
    """R2: closing the copy failed as well, and the run waited for an answer until its timeout."""
    async with a_worker(folder, acknowledged=False) as server:
        server.confirms = True
        server.key = "key"
        version = server.introduce(
            HEAD
            + "from runyard import File\n"
            + "@task\ndef main() -> File:\n"
            + "    open('a', 'wb').write(b'x' * 5_000)\n    return File('a')\n"
        )
        [lease] = server.assign(version)
        await server.begun(lease)

        with full_disk():
            async with asyncio.timeout(30):
                end = await server.end_of(lease)

        assert end.outcome is Outcome.RETURNED
        assert [len(data) for _, data in server.kept] == [5_000]


async def test_a_run_for_which_no_process_can_be_made_says_so(server):
    """R2: it waited for the next occasion, and what the server said in the same moment was lost."""
    version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n")
    scratch = server.worker.nursery.staging("").parent
    hidden = scratch.with_name("hidden")
    scratch.rename(hidden)

    async with asyncio.timeout(30):
        end = await server.run(version)

    assert end.error.kind == "NotStored"
    hidden.rename(scratch)
    assert outputs(await server.run(version))["result"] == 1
