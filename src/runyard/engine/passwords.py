"""Passwords: hashed with Argon2id, away from the event loop.

A hash takes about a tenth of a second and 64 MiB on purpose. A few threads of their own do it, so
that a flood of guesses delays other guesses and nothing else. Whoever names a user that does not
exist waits for a hash as well: the time of an answer tells nothing.
"""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar, TypeVarTuple

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from runyard.model.errors import FieldProblem, InputRefused, TooManyLogins

SHORTEST = 12
LONGEST = 256
THREADS = 2
MOST_WAITING = 100
A_MOMENT = timedelta(seconds=3)
MEMORY_KIBIBYTES = 64 * 1024
PASSES = 3

T = TypeVar("T")
Words = TypeVarTuple("Words")


class Passwords:
    """Hashes and verifies."""

    def __init__(self, *, memory: int = MEMORY_KIBIBYTES, passes: int = PASSES) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._nobodys = ""
        """A hash whose password nobody has."""
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What is stored of a password."""
        return await self._in_thread(self._hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password; of no hash it never is, which takes as long to say."""
        if not self._nobodys:
            self._nobodys = await self.hash(secrets.token_urlsafe())
        is_right = await self._in_thread(self._verify, password_hash or self._nobodys, password)
        return is_right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was hashed at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_normal(password))

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[*Words], T], *words: *Words) -> T:
        if self._waiting >= MOST_WAITING:
            raise TooManyLogins("too many people sign in at this moment", retry_after=A_MOMENT)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *words)
        finally:
            self._waiting -= 1


def refuse_weak(password: str, *, email: str, name: str, field: str = "password") -> None:
    """Raise InputRefused unless this may become a password. Length is what makes it strong."""
    allowed = f"{SHORTEST} to {LONGEST} characters, not your name or email, not one repeated"
    plain = password.casefold()
    is_obvious = plain in {email.casefold(), name.casefold()} or len(set(password)) < 3
    if not SHORTEST <= len(password) <= LONGEST or is_obvious:
        seen = f"{len(password)} characters" if not is_obvious else "something easily guessed"
        raise InputRefused([FieldProblem(field=field, seen=seen, allowed=allowed)])


def _normal(password: str) -> str:
    """One form for what keyboards write differently and people cannot tell apart."""
    return unicodedata.normalize("NFC", password)
