"""Passwords, hashed with argon2id at OWASP's minimum (Password Storage Cheat Sheet: 19 MiB, t=2, p=1).

Hashing runs in threads, two at a time: each takes 19 MiB and a core, so more would only fill the memory.
"""

import hashlib
import secrets
from functools import cache, partial

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

hashing_slots = CapacityLimiter(2)

_hasher = PasswordHash([Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)])


@cache
def _dummy_hash() -> str:
    """Verified where there is no such user, so that the time it takes does not tell."""
    return _hasher.hash(secrets.token_urlsafe())


async def hash_password(password: str) -> str:
    async with hashing_slots:
        return await to_thread.run_sync(_hasher.hash, password)


async def verify_password(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Whether a password is right, and a new hash where the parameters have risen since. `None` means no such user.

    The caller holds one of `hashing_slots`.
    """
    right, new_hash = await to_thread.run_sync(_verify, password, hashed)
    return (right, new_hash) if hashed else (False, None)


def _verify(password: str, hashed: str | None) -> tuple[bool, str | None]:
    dummy = _dummy_hash()  # which is made at the first sign-in, whoever that is
    return _hasher.verify_and_update(password, hashed or dummy)


async def hash_slowly(text: bytes, salt: bytes) -> str:
    """The same hash for the same text and salt, by scrypt at OWASP's minimum (N=2^14, r=8, p=5: 16 MiB).

    For what is compared with a text that holds a password, and must not make it easier to guess.
    """
    derive = partial(hashlib.scrypt, text, salt=salt, n=2**14, r=8, p=5, maxmem=64 * 2**20, dklen=32)
    async with hashing_slots:
        return (await to_thread.run_sync(derive)).hex()
