"""The command line.

What a command prints for people goes through rich; with `--json` it prints one JSON document on
standard output, shaped as the native API shapes it (a list is an array of all its items; `run list`
gives one page), and everything else goes to standard error.
The exit code says how it went, the same for every command:

    0    done
    1    done, but what was asked for failed: a failed run waited for, refused code, a failed check
    2    the command line itself is wrong
    3    no server answers
    4    the server refused: wrong input, no valid token, not allowed
    5    there is no such thing
    6    the thing is not in a state that allows this
    7    busy; try again later
    130  interrupted from the keyboard

The page of all commands is printed without loading any of them: `runyard --help` must be quick.
"""

import sys
from collections.abc import Sequence

from runyard.cli.commands import overview

HELP_FLAGS = ("--help", "-h", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in HELP_FLAGS:
        sys.stdout.write(overview())
        return 0
    from runyard.cli.program import run

    return run(words)
