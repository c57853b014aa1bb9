"""Inspecting bundles: what is found, and that no bundle harms the worker."""

import asyncio
from datetime import timedelta

from runyard.model.runs import Outcome
from runyard.worker.descendants import children_of
from runyard.worker.settings import MEBIBYTE, ChildLimits
from tests.worker.server import a_worker
from tests.worker.test_containment import zygote_of
from tests.worker.test_runs import HEAD, outputs

GOOD = (
    HEAD
    + '@task("Zip code", retries=2)\ndef main(zip: str) -> str:\n    """Where."""\n    return zip\n'
)


async def test_an_inspection_finds_the_tasks(server):
    inspected = await server.inspect({"tasks.py": GOOD})

    [declaration] = inspected.declarations
    assert inspected.problem is None
    assert (declaration.name, declaration.module, declaration.function) == (
        "Zip code",
        "tasks",
        "main",
    )
    assert declaration.policies.retry.retries == 2


async def test_nothing_of_an_inspection_stays(server):
    await server.inspect(
        {"tasks.py": GOOD + "import subprocess\nsubprocess.Popen(['sleep', '99'])\n"}
    )

    assert children_of(zygote_of(server).pid) == []
    assert not server.worker.nursery.children


async def test_broken_code_is_refused_with_file_and_line(server):
    inspected = await server.inspect({"tasks.py": GOOD, "broken.py": "x = 1\ndef f(:\n"})

    assert not inspected.declarations
    assert (inspected.problem.file, inspected.problem.line) == ("broken.py", 2)


async def test_an_import_that_never_ends_is_refused(folder):
    async with a_worker(folder, inspection=timedelta(seconds=1)) as server:
        inspected = await server.inspect({"tasks.py": GOOD + "while True: pass\n"})

        assert "longer than" in inspected.problem.reason


async def test_an_import_that_ends_the_process_is_refused_with_what_it_said(server):
    inspected = await server.inspect(
        {"tasks.py": GOOD + "os.write(2, b'no licence')\nos._exit(3)\n"}
    )

    assert "exit status 3" in inspected.problem.reason
    assert "no licence" in inspected.problem.reason


async def test_an_import_that_takes_too_much_memory_is_refused(folder):
    limits = ChildLimits(memory=150 * MEBIBYTE)
    async with a_worker(folder, limits=limits) as server:
        inspected = await server.inspect(
            {"tasks.py": GOOD + "kept = []\nwhile True:\n    kept.append(b'x' * 3_000_000)\n"}
        )

        assert "memory" in inspected.problem.reason


async def test_what_is_no_archive_is_refused(server):
    inspected = await server.inspect(server.keep(b"this is not a zip archive"))

    assert "zip" in inspected.problem.reason


async def test_runs_go_on_during_an_inspection(folder):
    async with a_worker(folder, inspection=timedelta(seconds=2), slots=1) as server:
        version = server.introduce(HEAD + "@task\ndef main() -> int:\n    return 1\n")
        digest = server.bundle({"tasks.py": GOOD + "time.sleep(60)\n"})

        inspecting = asyncio.ensure_future(server.inspect(digest))
        end = await server.run(version)

        assert end.outcome is Outcome.RETURNED
        assert outputs(end) == {"result": 1}
        assert not inspecting.done()
        assert (await inspecting).problem is not None
