"""The pools of connections. They wait where the server has no connection left to give.

The server's limit counts for all processes together, so a connection may become free in another one; and one of this
pool may be given back meanwhile.
"""

import asyncio
import random
import time

from sqlalchemy import AsyncAdaptedQueuePool, NullPool, Pool, PoolProxiedConnection
from sqlalchemy.util import await_only

from api.database.errors import is_out_of_connections

LONGEST_PAUSE = 0.3
"""Seconds between two attempts to connect, at most: each costs the server some milliseconds."""


class Patient(Pool):
    """A pool whose `connect` tries again where the server has no connection left."""

    patience = 0.0
    """Seconds after which it gives up."""

    def connect(self) -> PoolProxiedConnection:
        try:
            return super().connect()
        except Exception as error:
            if not is_out_of_connections(error):
                raise
        return self._connect_later()

    def _connect_later(self) -> PoolProxiedConnection:
        deadline = time.monotonic() + self.patience
        while True:
            await_only(asyncio.sleep(random.uniform(LONGEST_PAUSE / 3, LONGEST_PAUSE)))  # noqa: S311
            try:
                return super().connect()
            except Exception as error:
                if not is_out_of_connections(error) or time.monotonic() > deadline:
                    raise


class PatientQueuePool(Patient, AsyncAdaptedQueuePool):
    """Keeps its connections."""


class PatientNullPool(Patient, NullPool):
    """Keeps none."""
