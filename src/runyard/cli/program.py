"""The program: finds the command, runs it, and turns errors into exit codes."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from cyclopts import App, CycloptsError, Parameter

import runyard
from runyard.cli.commands import COMMANDS, HEAD
from runyard.cli.exits import DONE, FAILED, INTERRUPTED, USAGE, Misused, exit_code, explained
from runyard.cli.output import complain
from runyard.model.errors import RunyardError


def program() -> App:
    """All commands, none of them loaded yet."""
    app = App(
        name="runyard",
        help=HEAD.partition("\n\n")[2].strip(),
        version=runyard.__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative=""),
        result_action="return_value",
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for command in COMMANDS:
        if command.examples:
            app.command(command.home, name=command.name, help_epilogue=command.examples)
        else:
            # A group of commands brings its own words, and may not be told others.
            app.command(command.home, name=command.name)
    return app


def require_known(word: str) -> None:
    """Raises unless a command line may begin with this word."""
    names = [command.name for command in COMMANDS]
    if word.startswith("-") or word in names:
        return
    close = get_close_matches(word, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise Misused(f"There is no command {word!r}.{hint} See: runyard --help")


def run(words: Sequence[str]) -> int:
    """Runs one command line; the exit code."""
    try:
        require_known(words[0])
        result = program()(words)
        sys.stdout.flush()
    except CycloptsError:
        return USAGE
    except RunyardError as error:
        complain(explained(error))
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who reads our output has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        complain([f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"])
        return FAILED
    return result if isinstance(result, int) else DONE
