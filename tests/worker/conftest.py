"""Workers with real children, and a server's end that the test plays."""

from pathlib import Path

import pytest

from tests.worker.server import a_worker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "worker"


@pytest.fixture
async def server(folder):
    async with a_worker(folder) as server:
        yield server
