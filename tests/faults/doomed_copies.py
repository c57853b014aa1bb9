"""`python -m tests.faults.doomed_copies db restore ...`: Runyard, but it is killed on its way.

DOOMED says how the word about its progress begins at which it dies.
"""

import os
import signal
import sys

from runyard.cli import database, main


def deadly(word: str) -> None:
    """Dies at the word that was named."""
    if word.startswith(os.environ["DOOMED"]):  # noqa: TID251 - how a test tells its program
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    database._progress = deadly
    sys.exit(main())
