"""Tell staff of webhooks that were disabled, by a notification and a mail of a new kind."""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "3c8d5f70a1e9"
down_revision = "7b1e4c92d0f6"
branch_labels = None
depends_on = None

NEW = "'webhook_disabled'"
NOTIFICATIONS = (
    "'order_placed', 'order_confirmed', 'order_shipped', 'order_delivered', 'order_cancelled', 'payment_received', "
    "'payment_refunded', 'credit_received'"
)
MAILS = (
    "'order_confirmed', 'order_shipped', 'order_cancelled', 'payment_refunded', 'password_reset', "
    "'email_confirmation', 'email_changed'"
)


def upgrade() -> None:
    online.replace_check("ck_notifications_kind", _notifications(NOTIFICATIONS), f"kind IN ({NOTIFICATIONS}, {NEW})")
    online.replace_check("ck_mails_kind", _mails(MAILS), f"kind IN ({MAILS}, {NEW})")


def downgrade() -> None:
    op.execute(f"DELETE FROM notifications WHERE kind = {NEW}")  # noqa: S608
    op.execute(f"DELETE FROM mails WHERE kind = {NEW}")  # noqa: S608
    online.replace_check("ck_mails_kind", _mails(f"{MAILS}, {NEW}"), f"kind IN ({MAILS})")
    notifications = _notifications(f"{NOTIFICATIONS}, {NEW}")
    online.replace_check("ck_notifications_kind", notifications, f"kind IN ({NOTIFICATIONS})")


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


def _mails(kinds: str) -> sa.Table:
    """The table as it is, which SQLite copies."""
    return sa.Table(
        "mails",
        sa.MetaData(),
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
        sa.Column("kind", columns.UnicodeString(length=26), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("about", columns.UnicodeString(length=80), nullable=False),
        sa.Column("address", columns.UnicodeString(length=254), nullable=True),
        sa.Column("token_hash", columns.UnicodeString(length=64), nullable=True),
        sa.Column("token_expires_at", columns.Timestamp(), nullable=True),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_mails_kind")),
        sa.CheckConstraint("status IN ('pending', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_mails_event_id_events"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("event_id", "kind", name=op.f("uq_mails_event_id_kind")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_mails_token_hash")),
        sa.Index(op.f("ix_mails_event_id"), "event_id"),
        sa.Index(op.f("ix_mails_status_due_at"), "status", "due_at"),
        sa.Index(op.f("ix_mails_user_id_status"), "user_id", "status"),
        sqlite_autoincrement=True,
    )
