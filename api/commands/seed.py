"""`python -m api seed`: fill the shop with products, customers and the orders of 90 days, to look at or to measure."""

import argparse
import gc
import re
from datetime import UTC, datetime

from sqlmodel import col, exists, not_, select

from api.commands import setup
from api.commands.command import Command, CommandFailed, with_database
from api.database.sessions import Database
from api.demo.fill import Size, fill
from api.models.order import Order
from api.models.product import Product
from api.models.user import User
from api.settings import Settings
from api.worker.followers import followers
from api.worker.job_rows import skip_to_end


def seed(settings: Settings, options: argparse.Namespace) -> int:
    if settings.is_production:
        raise CommandFailed("ENVIRONMENT is production: invented orders have no place among real ones")
    size = Size(options.products, options.customers, options.orders)
    until = options.until or datetime.now(UTC)

    async def work(database: Database) -> int:
        if not options.add and await _is_used(database):
            raise CommandFailed("the shop has products, customers or orders already: --add adds more")
        admin = await setup.create_first_admin(database)
        if admin is not None:
            print(f"Sign in as {admin.username} with the password {admin.password} - it is not shown again.")
        gc.collect()
        gc.freeze()  # or the collector would go through the modules again and again: a sixth of the time
        placed = await fill(database, size, seed=options.seed, until=until)
        await skip_to_end(database, [each.name for each in followers(settings)])
        return placed

    orders = with_database(settings, work)
    print(f"Added {size.products:,} products, {size.customers:,} customers and {orders:,} orders.")
    return 0


async def _is_used(database: Database) -> bool:
    customer = exists().where(not_(col(User.is_superuser)))
    async with database.reads() as session:
        found = select(exists(select(Product.id)), exists(select(Order.id)), customer)
        return any((await session.exec(found)).one())


MAX_ROWS = 100_000_000
"""Of one kind; more would take days."""


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > MAX_ROWS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {MAX_ROWS:,}")
    return int(text)


def _moment(text: str) -> datetime:
    """An ISO date or time, of UTC where it does not say."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a date or a time such as 2026-11-28 or 2026-11-28T12:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise argparse.ArgumentTypeError("must not be in the future")
    return moment.astimezone(UTC)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    size = Size()
    parser.add_argument("--products", type=_number, default=size.products, metavar="N", help="%(default)s if absent")
    parser.add_argument("--customers", type=_number, default=size.customers, metavar="N", help="%(default)s if absent")
    parser.add_argument("--orders", type=_number, default=size.orders, metavar="N", help="%(default)s if absent")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="with the same --until it gives the same shop")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="when the 90 days end, such as 2026-11-28: now")
    parser.add_argument("--add", action="store_true", help="add to what the shop has already")


command = Command("seed", "fill the shop with invented products, customers and orders", seed, _add_arguments)
