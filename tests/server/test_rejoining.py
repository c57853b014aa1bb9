"""The worker inside a server, when its conversation breaks off (R2)."""

import asyncio
from datetime import timedelta
from pathlib import Path

from runyard.cli.joined import open_runyard
from tests.support.server import settings_of


async def test_a_worker_inside_a_server_comes_back_when_its_conversation_breaks_off(
    tmp_path: Path,
) -> None:
    """Whatever had gone wrong once in it, nothing was executed any more until a restart."""
    settings = settings_of(tmp_path, slots=1, drain=timedelta(seconds=5))
    async with open_runyard(settings) as server:
        sessions = server.engine._parts.sessions
        [session] = sessions
        session.port.close("the server failed to answer")
        async with asyncio.timeout(30):
            while not any(s.room for s in sessions if s.id != session.id):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # noqa: TID251 - processes are starting

        assert not session.is_open
        await server.stop()
