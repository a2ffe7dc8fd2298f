"""Add the accounts of the shop."""

from datetime import UTC, datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

from api.models import columns

revision = "d25e90b4c6f1"
down_revision = "8c1b7f20d3a4"
branch_labels = None
depends_on = None

NAMES = ["Issued credit", "Sales"]

accounts = sa.table(
    "accounts",
    sa.column("id", columns.BigInt()),
    sa.column("name", columns.UnicodeString(100)),
    sa.column("user_id", columns.BigInt()),
    sa.column("balance", columns.Cents()),
    sa.column("created_at", columns.Timestamp()),
    sa.column("updated_at", columns.Timestamp()),
)
transactions = sa.table(
    "transactions",
    sa.column("from_account_id", columns.BigInt()),
    sa.column("to_account_id", columns.BigInt()),
)


def upgrade() -> None:
    """Add those that do not exist yet. They belong to no user, and begin empty."""
    now = sa.literal(datetime.now(UTC).replace(tzinfo=None))  # MySQL takes no offset; env.py makes PostgreSQL add it
    for name in NAMES:
        taken = sa.exists().where(accounts.c.name == name)
        row = sa.select(
            sa.literal(name, columns.UnicodeString(100)), sa.literal(Decimal("0.00"), columns.Cents()), now, now
        ).where(~taken)
        op.execute(accounts.insert().from_select(["name", "balance", "created_at", "updated_at"], row))


def downgrade() -> None:
    """Remove those that no transaction refers to."""
    op.execute(
        accounts.delete().where(
            accounts.c.name.in_(NAMES),
            accounts.c.user_id.is_(None),
            accounts.c.id.not_in(sa.select(transactions.c.from_account_id)),
            accounts.c.id.not_in(sa.select(transactions.c.to_account_id)),
        )
    )
