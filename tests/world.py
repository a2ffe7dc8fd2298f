"""The world of the tests: one row of every entity, and more where a test needs them.

The access tests, the hostile requests, the migrations and the test of erasure all run on these rows. For a new entity,
add one line to `write_rows`; `tests/house/test_world.py` says which line is missing.

- The owner owns one row of everything. Whatever nobody else may see says `PRIVATE`.
- Every valid request can succeed: the stock is large, every user has credit, the order is pending and partly paid.
- A row that a request can name has a fixed id, far above the ids that a database gives out, of the form 9x0000y.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, Update
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import hash_token
from api.database.sessions import Database
from api.models.base import noun_of_table, utcnow, with_article
from api.models.event import EventType
from api.models.mail import MailKind
from api.models.notification import NotificationKind
from api.models.post import PostStatus
from api.models.token import TokenKind
from tests import factories
from tests.seed import Seed, all_rows
from tests.support import FreshSession

OWNER, OTHER, STAFF, DEACTIVATED = range(9_100_001, 9_100_005)
OWNER_ACCOUNT, OTHER_ACCOUNT, STAFF_ACCOUNT, FOURTH_ACCOUNT = range(9_200_001, 9_200_005)
CATEGORY, PRODUCT, INACTIVE_PRODUCT, TAG, PARENT_CATEGORY, SUBCATEGORY = range(9_300_001, 9_300_007)
ORDER, PAYMENT, NOTIFICATION = range(9_400_001, 9_400_004)
PUBLISHED, DRAFT = range(9_500_001, 9_500_003)
KEY, MAIL = range(9_600_001, 9_600_003)
WEBHOOK, DELIVERY = range(9_900_001, 9_900_003)

PRIVATE = "private"
"""Stands in every row of the owner that nobody else may see."""

RESET_TOKEN, CONFIRMATION_TOKEN = f"{PRIVATE}-reset", f"{PRIVATE}-confirmation"
"""The secrets of the links in mails to the owner."""

REGISTRATION_TOKEN = f"{PRIVATE}-registration"
"""The secret of the link in a mail to somebody who is no user yet."""

ODD = "5%_\\'"
"""Stands in one row of every entity that can be searched: all characters that mean something in a LIKE."""

PATH_TABLES = {"auth": "tokens", "webhook-deliveries": "webhook_deliveries"}
"""The tables of the paths that do not begin with the name of their table."""

FIXED = {"entity": "orders"}
"""The values of parameters in paths that name no row."""

REFERENCES = {
    column.name: key.column.table.name
    for table in SQLModel.metadata.sorted_tables
    for column in table.columns
    for key in column.foreign_keys
}
"""The table that each foreign key refers to, by the name of its column: `product_id` refers to `products`."""


async def write_rows(session: AsyncSession) -> dict[str, str]:
    """Write the world into a database that has only the rows of the migrations; return the secret of each token."""
    owner = await factories.a_user(
        session,
        "owner",
        id=OWNER,
        email=f"{PRIVATE}@example.com",
        pending_email=f"{PRIVATE}.new@example.com",
        full_name=ODD,
        bio=PRIVATE,
    )
    other = await factories.a_user(session, "other", id=OTHER)
    staff = await factories.a_user(session, "staff", id=STAFF, is_superuser=True)
    deactivated = await factories.a_user(session, "deactivated", id=DEACTIVATED, is_active=False)

    for account_id, user in enumerate((owner, other, staff, deactivated), OWNER_ACCOUNT):
        account = await factories.an_account(session, user, id=account_id)
        await factories.a_transaction(session, to_account=account, amount="500.00", description=PRIVATE)

    category = await factories.a_category(session, "Vinyl", id=CATEGORY, description=f"x{ODD}x")
    parent = await factories.a_category(session, "Music", id=PARENT_CATEGORY)
    await factories.a_category(session, "Jazz", parent, id=SUBCATEGORY)
    product = await factories.a_product(
        session, "wh-9", category, id=PRODUCT, sku="WH-9", slug="wh-9", price="100.00", description=ODD
    )
    await factories.a_stock_movement(session, product, 100_000, note=PRIVATE)
    inactive_product = await factories.a_product(
        session, PRIVATE, id=INACTIVE_PRODUCT, sku=PRIVATE.upper(), slug=PRIVATE, is_active=False
    )
    await factories.a_stock_movement(session, inactive_product, 1, note=PRIVATE)

    order = await factories.an_order(session, owner, (product, 10), id=ORDER, shipping_address=PRIVATE)
    payment = await factories.a_payment(session, order, "100.00", id=PAYMENT, reference=PRIVATE)
    await factories.a_refund(session, payment, "10.00", reason=PRIVATE, user_id=OWNER)
    kind = NotificationKind.ORDER_PLACED
    await factories.a_notification(session, owner, id=NOTIFICATION, message=PRIVATE, order_id=ORDER, kind=kind)

    tag = await factories.a_tag(session, ODD, id=TAG, slug="odd")
    await factories.a_post(session, owner, "published", id=PUBLISHED, slug="published", content=ODD, tags=[tag])
    draft = PostStatus.DRAFT
    await factories.a_post(session, owner, PRIVATE, id=DRAFT, slug=PRIVATE, content=PRIVATE, status=draft, tags=[tag])

    await factories.an_idempotency_key(session, owner)
    await factories.an_attempt(session)
    await factories.an_audit_entry(session, product, user_id=OWNER)
    registered = {"type": EventType.USER_REGISTERED, "subject": f"users/{OWNER}", "data": {"bio": PRIVATE}}
    event = await factories.an_event(session, user_id=OWNER, position=1, **registered)
    webhook = await factories.a_webhook(session, id=WEBHOOK)
    await factories.a_webhook_delivery(session, event, webhook, id=DELIVERY)
    await factories.a_job(session)
    await factories.a_mail(session, owner, id=MAIL, error=PRIVATE, **link(RESET_TOKEN))
    confirmation: dict[str, Any] = {"kind": MailKind.EMAIL_CONFIRMATION, "address": owner.pending_email}
    await factories.a_mail(session, owner, **confirmation, **link(CONFIRMATION_TOKEN))
    registration = await factories.a_registration(session, "waiting")
    await factories.a_mail(session, registration=registration, **link(REGISTRATION_TOKEN))

    session_token, key = TokenKind.SESSION, TokenKind.KEY
    tokens = {
        "the owner's API key": await factories.a_token(session, owner, key, id=KEY, name=PRIVATE),
        "owner": await factories.a_token(session, owner, session_token, name=PRIVATE),
        "other": await factories.a_token(session, other, session_token, name=PRIVATE),
        "staff": await factories.a_token(session, staff, session_token, name=PRIVATE),
        "expired session": await factories.a_token(session, owner, session_token, name=PRIVATE, days=-1),
        "expired API key": await factories.a_token(session, owner, key, name=PRIVATE, days=-1),
        "deactivated user's session": await factories.a_token(session, deactivated, session_token, name=PRIVATE),
        "deactivated user's API key": await factories.a_token(session, deactivated, key, name=PRIVATE),
    }
    for user in (owner, other, staff, deactivated):
        used = (token.last_used_at for _, token in tokens.values() if token.user_id == user.id)
        user.last_active_at = max(filter(None, used))
    await session.flush()
    return {caller: secret for caller, (secret, _) in tokens.items()}


def link(secret: str) -> dict[str, Any]:
    """The columns of a mail whose link works."""
    return {"token_hash": hash_token(secret), "token_expires_at": utcnow() + timedelta(days=1)}


class World:
    """The rows of the world in one database, where they can be put back."""

    def __init__(self, database: Database, secrets: dict[str, str], rows: Seed, before: Seed) -> None:
        self.database = database
        self.secrets = secrets
        self._rows = rows
        self._named = {name: self._first(name, before) for name in rows.rows}
        self._named["tokens"] = next(row for row in rows.rows["tokens"] if row["id"] == KEY)

    @classmethod
    async def write(cls, database: Database, seed: Seed, *changes: Update) -> "World":
        """Write the world beside the rows of the migrations, and change it by statements."""
        await seed.restore(database)
        async with FreshSession(database.engine) as session:
            secrets = await write_rows(session)
            for change in changes:
                await session.exec(change)
        return cls(database, secrets, await Seed.of(database), seed)

    def _first(self, name: str, before: Seed) -> dict[str, Any] | None:
        """Its first row that no migration wrote; transactions change some rows that one wrote."""
        migrated = {row.get("id") for row in before.rows[name]}
        rows = [row for row in self._rows.rows[name] if row.get("id") not in migrated]
        return min(rows, key=lambda row: row.get("id", 0), default=None)

    def name_in_requests(self, table: str, row_id: int) -> None:
        """Let requests name this row of a table. Without it, they name the row with the lowest id."""
        self._named[table] = next(row for row in self._rows.rows[table] if row["id"] == row_id)

    def row(self, table: str) -> dict[str, Any]:
        """The row of a table that requests name: the row with the lowest id that no migration wrote."""
        row = self._named[table]
        assert row, self._missing_row(table)
        return row

    def missing_rows(self) -> list[str]:
        """What to do for each table that has no row."""
        return [self._missing_row(name) for name, row in self._named.items() if row is None]

    def ids(self) -> set[int]:
        """The ids of all rows."""
        return {row["id"] for rows in self._rows.rows.values() for row in rows if "id" in row}

    def _missing_row(self, name: str) -> str:
        table = SQLModel.metadata.tables[name]
        return missing_row(noun_of_table(table), table, self.ids())

    def references(self) -> dict[str, int]:
        """The id that stands in each foreign key, by the name of its column, such as `product_id`."""
        return {column: self.row(table)["id"] for column, table in REFERENCES.items()}

    def in_path(self, path: str, name: str) -> Any:
        """The value of a parameter in a path.

        `/reviews/{id}` is the row of the table `reviews`, `/reviews/by-slug/{slug}` its column `slug`, and
        `/reviews/user/{user_id}` the row of `users`.
        """
        if name in FIXED:
            return FIXED[name]
        if name in REFERENCES:
            return self.row(REFERENCES[name])["id"]
        first = path.split("/")[1]
        return self.row(PATH_TABLES.get(first, first))[name]

    async def restore(self) -> None:
        """Put the rows back as `write` left them."""
        await self._rows.restore(self.database)

    async def contents(self) -> dict[str, list[str]]:
        """Every row of every table as it is now."""
        async with FreshSession(self.database.engine) as session:
            return await all_rows(session)


def missing_row(noun: str, table: Table, taken: Iterable[int] = ()) -> str:
    """What to do for an entity that has no row in the world. A row can have no id that is `taken`."""
    referred = {
        column.name.removesuffix("_id"): key.column.table for column in table.columns for key in column.foreign_keys
    }
    owners = [f"{name}=owner" for name, parent in referred.items() if parent.name == "users"]
    others = [f"{name}={name}" for name, parent in referred.items() if parent.name != "users"]
    block = next(block for block in range(9_000_001, 9_999_999, 100_000) if block not in taken)
    given = [*owners, *others, *([f"id={block:_}"] if "id" in table.columns else [])]
    line = f"await factories.{with_article(noun).replace(' ', '_')}({', '.join(['session', *given])})"
    return f"{table.name} has no row in the world: add one line to `write_rows` in tests/world.py, such as `{line}`"
