"""The master key: a file beside the database, made at the first start."""

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from runyard.engine.keys import KEY_LENGTH
from runyard.model.errors import FieldProblem
from runyard.server.settings import SettingsRefused

MASTER_KEY_FILE = "master.key"
_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_LENGTH}}}")
_A_KEY = f"a file with {2 * KEY_LENGTH} hexadecimal digits"
_FEW = "keeps everybody but its owner and its group out, such as 0600 (chmod o= does it)"


def read_master_key(path: Path) -> bytes:
    """The key in this file, which is made if there is none; raises SettingsRefused."""
    if not path.exists():
        _write_new(path)
    try:
        text = path.read_text().strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"it cannot be read: {error}", _A_KEY) from None
    if not _KEY.fullmatch(text):
        raise _refused(path, f"{len(text)} characters", _A_KEY)
    # Its group may, so that several servers of one machine can share it.
    if mode & stat.S_IRWXO:
        raise _refused(path, f"mode {stat.S_IMODE(mode):04o}", f"a mode that {_FEW}")
    return bytes.fromhex(text)


def _write_new(path: Path) -> None:
    """Write a key that only its owner may read. Of servers that do so at once, one is first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(KEY_LENGTH)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _refused(path: Path, seen: str, allowed: str) -> SettingsRefused:
    return SettingsRefused(
        [FieldProblem(field="master_key", seen=f"{path}: {seen}", allowed=allowed)]
    )
