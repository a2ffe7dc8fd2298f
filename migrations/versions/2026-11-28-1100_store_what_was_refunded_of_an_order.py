"""Store what was refunded of an order.

On a table that is in use each step commits by itself, locks little, and can be run again after an interruption.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "e4a8d17c5b02"
down_revision = "5b7e90d3c186"
branch_labels = None
depends_on = None

BATCH = 10_000
"""Orders that are locked at once, for a fraction of a second."""

NAME = "ck_orders_refunded_amount"
CONDITION = "refunded_amount BETWEEN 0 AND paid_amount"

ADD_ON_SQLITE = (
    f"ALTER TABLE orders ADD COLUMN refunded_amount BIGINT DEFAULT 0 NOT NULL CONSTRAINT {NAME} CHECK ({CONDITION})"
)
"""SQLite adds a CHECK together with its column alone. It would copy the table for one that comes later."""

FILL_IN = """
UPDATE orders SET refunded_amount = (SELECT SUM(p.refunded_amount) FROM payments p WHERE p.order_id = orders.id)
WHERE EXISTS (SELECT 1 FROM payments p WHERE p.order_id = orders.id AND p.refunded_amount > 0)
"""
FILL_IN_BATCH = sa.text(f"{FILL_IN.rstrip()} AND id > :last AND id <= :until")
END_OF_BATCH = sa.text(
    "SELECT MAX(id) FROM (SELECT id FROM orders WHERE id > :last ORDER BY id LIMIT :batch) following"
)


def upgrade() -> None:
    kind = op.get_context().dialect.name
    if kind == "sqlite":
        # The CHECK holds for what is there: the sum of refunds never exceeds what was paid.
        op.execute(ADD_ON_SQLITE)
        op.execute(FILL_IN)
        return
    online.add_column("orders", sa.Column("refunded_amount", columns.Cents(), server_default="0", nullable=False))
    with online.by_itself("orders"):
        _fill_in()
        if op.get_context().as_sql or not _has_check():
            later = " NOT VALID" if kind == "postgresql" else ""  # or all writers wait until it has read the table
            op.execute(f"ALTER TABLE orders ADD CONSTRAINT {NAME} CHECK ({CONDITION}){later}")
        if kind == "postgresql":
            op.execute(f"ALTER TABLE orders VALIDATE CONSTRAINT {NAME}")


def downgrade() -> None:
    is_mysql = op.get_context().dialect.name == "mysql"
    if is_mysql and (op.get_context().as_sql or _has_check()):  # the others drop it with its column
        op.execute(f"ALTER TABLE orders DROP CONSTRAINT {NAME}")
    online.drop_column("orders", "refunded_amount")


def _fill_in() -> None:
    if op.get_context().as_sql:
        op.execute(FILL_IN)
        return
    last = 0
    while until := op.get_bind().execute(END_OF_BATCH, {"last": last, "batch": BATCH}).scalar():
        op.get_bind().execute(FILL_IN_BATCH, {"last": last, "until": until})
        last = until


def _has_check() -> bool:
    """MySQL commits each change, so an interrupted migration leaves some."""
    return NAME in {each["name"] for each in sa.inspect(op.get_bind()).get_check_constraints("orders")}
