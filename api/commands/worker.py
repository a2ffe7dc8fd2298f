"""`python -m api worker`: do what is done beside requests, where `python -m api` does not do it itself."""

import argparse
import asyncio
import logging
import signal
from functools import partial

from api.commands.command import Command, with_database
from api.database.sessions import Database
from api.settings import Settings
from api.telemetry.metrics import metrics
from api.worker.running import work
from api.worker.sampling import sample

logger = logging.getLogger(__name__)


def worker(settings: Settings, options: argparse.Namespace) -> int:
    metrics.start(settings)
    with_database(settings, partial(_until_stopped, settings))
    return 0


async def _until_stopped(settings: Settings, database: Database) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    logger.info("The worker has started.")
    await asyncio.gather(work(database, settings, stop), sample(database, stop))
    logger.info("The worker has stopped.")


command = Command("worker", "number events, deliver them, send mail, and purge daily, until it is stopped", worker)
