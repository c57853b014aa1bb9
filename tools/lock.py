"""Pins every dependency of the development environment again.

The lock is a requirements file with hashes and without the address of any package index, so that
it installs from whichever index a machine uses, and from no wrong one.
"""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
NOTE = "# Made by `make lock` from pyproject.toml: every package of the environment, with hashes.\n"


def main() -> None:
    """Write requirements.lock and, for the first step of an installation, bootstrap.lock."""
    lock = compiled()
    (REPOSITORY / "requirements.lock").write_text(NOTE + lock)
    (REPOSITORY / "bootstrap.lock").write_text(entry_of("uv", lock))


def compiled() -> str:
    """The newest versions that fit pyproject.toml, for every platform."""
    uv = Path(sys.executable).with_name("uv")
    options = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--upgrade")
    done = subprocess.run(
        [uv, "pip", "compile", "pyproject.toml", "--group", "dev", *options, "--quiet"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def entry_of(package: str, lock: str) -> str:
    """The lines that pin one package."""
    found = re.search(rf"^{package}==.*\n(?: .*\n)+", lock, re.M)
    if found is None:
        raise SystemExit(f"{package} is not in the lock")
    return found.group()


if __name__ == "__main__":
    main()
