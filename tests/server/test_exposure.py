"""What a server lets other users of its machine see."""

import stat
import subprocess
import sys
from pathlib import Path

from tests.support.server import running_server

SHOWS_ITSELF = """
import sys
from runyard.surroundings import hide_arguments
hide_arguments()
print(open("/proc/self/cmdline").read().replace(chr(0), " ").strip())
print(sys.argv[1])
"""


def test_a_password_among_the_arguments_is_not_left_for_everybody_to_read() -> None:
    # /proc/<pid>/cmdline is open to all, to task code as well.
    shown = subprocess.run(
        [sys.executable, "-c", SHOWS_ITSELF, "postgresql://a:secret@host/db"],
        capture_output=True,
        text=True,
        check=True,
    )

    outside, inside = shown.stdout.splitlines()
    assert outside == ""
    assert inside == "postgresql://a:secret@host/db"


async def test_a_data_folder_that_was_there_is_closed_to_others(memory_path: Path) -> None:
    folder = memory_path / "data"
    folder.mkdir()
    folder.chmod(0o755)

    async with running_server(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
