"""Passwords, hashed with argon2id at OWASP's minimum (Password Storage Cheat Sheet: 19 MiB, t=2, p=1).

Hashing runs in threads, two at a time: each takes 19 MiB and a core, so more would only fill the memory.
"""

import secrets

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

hashing_slots = CapacityLimiter(2)

_hasher = PasswordHash([Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)])
_dummy_hash = _hasher.hash(secrets.token_urlsafe())
"""Verified where there is no such user, so that the time it takes does not tell."""


async def hash_password(password: str) -> str:
    async with hashing_slots:
        return await to_thread.run_sync(_hasher.hash, password)


async def verify_password(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Whether a password is right, and a new hash where the parameters have risen since. `None` means no such user.

    The caller holds one of `hashing_slots`.
    """
    right, new_hash = await to_thread.run_sync(_hasher.verify_and_update, password, hashed or _dummy_hash)
    return (right, new_hash) if hashed else (False, None)
