"""Deliver events to webhooks."""

import sqlalchemy as sa
from alembic import op

from api.models import columns

revision = "e63d21a8f835"
down_revision = "5e83a1c70b94"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
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
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("event_id", columns.BigInt(), nullable=False),
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
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_webhook_deliveries_webhook_id_status_id"), ["webhook_id", "status", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_deliveries_webhook_id_subject_status"),
            ["webhook_id", "subject", "status"],
            unique=False,
        )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
