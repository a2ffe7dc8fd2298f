"""Deliver events to webhooks, and tell staff of those that are disabled."""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "e63d21a8f835"
down_revision = "5e83a1c70b94"
branch_labels = None
depends_on = None

KINDS = (
    "'order_placed', 'order_confirmed', 'order_shipped', 'order_delivered', 'order_cancelled', 'payment_received', "
    "'payment_refunded', 'credit_received'"
)
NEW_KIND = "'webhook_disabled'"

BEGIN_AT_THE_END = """
INSERT INTO jobs (name, due_at, failures, position)
SELECT 'webhooks', due_at, failures, position FROM jobs
WHERE name = 'relay' AND NOT EXISTS (SELECT 1 FROM jobs WHERE name = 'webhooks')
"""
"""Events from now on are delivered, and not only from the first start of a worker of this release on. Where no worker
has run yet, no event has a place in the feed."""


def upgrade() -> None:
    online.create_table(
        "webhooks",
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.Column("version", columns.BigInt(), nullable=False),
        sa.Column("url", columns.UnicodeString(length=2000), nullable=False),
        sa.Column("description", columns.UnicodeString(length=200), nullable=True),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("types", columns.Document(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("secret", columns.UnicodeString(length=64), nullable=False),
        sa.Column("old_secret", columns.UnicodeString(length=64), nullable=True),
        sa.Column("old_secret_until", columns.Timestamp(), nullable=True),
        sa.Column("failures", columns.BigInt(), nullable=False),
        sa.Column("failing_since", columns.Timestamp(), nullable=True),
        sa.Column("paused_until", columns.Timestamp(), nullable=True),
        sa.Column("disabled_at", columns.Timestamp(), nullable=True),
        sa.Column("disabled_reason", columns.UnicodeString(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sqlite_autoincrement=True,
    )
    online.create_table(
        "webhook_deliveries",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("event_id", columns.BigInt(), nullable=True),
        sa.Column("status", columns.UnicodeString(length=15), nullable=False),
        sa.Column("attempts", columns.BigInt(), nullable=False),
        sa.Column("due_at", columns.Timestamp(), nullable=False),
        sa.Column("claim", columns.UnicodeString(length=32), nullable=True),
        sa.Column("claimed_until", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("sent_at", columns.Timestamp(), nullable=True),
        sa.Column("error", columns.UnicodeString(length=500), nullable=True),
        sa.Column("webhook_id", columns.BigInt(), nullable=False),
        sa.Column("subject", columns.UnicodeString(length=64), nullable=False),
        sa.Column("http_status", columns.BigInt(), nullable=True),
        sa.Column("duration", columns.BigInt(), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'sent', 'failed')", name=op.f("ck_webhook_deliveries_status")),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id_events"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id_webhooks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("event_id", "webhook_id", name=op.f("uq_webhook_deliveries_event_id_webhook_id")),
        sqlite_autoincrement=True,
    )
    table = "webhook_deliveries"
    online.create_index("ix_webhook_deliveries_status_id", table, ["status", "id"])
    online.create_index("ix_webhook_deliveries_webhook_id_status_id", table, ["webhook_id", "status", "id"])
    online.create_index("ix_webhook_deliveries_webhook_id_subject_status", table, ["webhook_id", "subject", "status"])
    online.replace_check("ck_notifications_kind", _notifications(KINDS), f"kind IN ({KINDS}, {NEW_KIND})")
    op.execute(BEGIN_AT_THE_END)


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE name = 'webhooks'")
    op.execute(f"DELETE FROM notifications WHERE kind = {NEW_KIND}")  # noqa: S608
    online.replace_check("ck_notifications_kind", _notifications(f"{KINDS}, {NEW_KIND}"), f"kind IN ({KINDS})")
    online.drop_table("webhook_deliveries")
    online.drop_table("webhooks")


def _notifications(kinds: str) -> sa.Table:
    """The table as it is, which SQLite copies."""
    return sa.Table(
        "notifications",
        sa.MetaData(),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("kind", columns.UnicodeString(length=24), nullable=False),
        sa.Column("message", columns.UnicodeString(length=500), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=False),
        sa.Column("order_id", columns.BigInt(), nullable=True),
        sa.Column("read_at", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_notifications_kind")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_notifications_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notifications_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.Index(op.f("ix_notifications_order_id"), "order_id"),
        sa.Index(op.f("ix_notifications_user_id_id"), "user_id", "id"),
        sqlite_autoincrement=True,
    )
