"""Send tests to webhooks: deliveries that tell of no event.

A release before this one, beside this one, leaves them to this one.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "7b1e4c92d0f6"
down_revision = "e665c809d27e"
branch_labels = None
depends_on = None

TABLE = "webhook_deliveries"


def upgrade() -> None:
    _let_be_null(True)


def downgrade() -> None:
    op.execute(f"DELETE FROM {TABLE} WHERE event_id IS NULL")  # noqa: S608
    _let_be_null(False)


def _let_be_null(nullable: bool) -> None:
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table(TABLE, copy_from=_deliveries(not nullable)) as batch_op:
            batch_op.alter_column("event_id", existing_type=columns.BigInt(), nullable=nullable)
        return
    with online.by_itself(TABLE):
        op.alter_column(TABLE, "event_id", existing_type=columns.BigInt(), nullable=nullable)


def _deliveries(nullable: bool) -> sa.Table:
    """The table as it is, which SQLite copies; read from here, it can be printed by `--sql` too."""
    return sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("event_id", columns.BigInt(), nullable=nullable),
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
        sa.Index(op.f("ix_webhook_deliveries_webhook_id_status_id"), "webhook_id", "status", "id"),
        sa.Index(op.f("ix_webhook_deliveries_webhook_id_subject_status"), "webhook_id", "subject", "status"),
        sqlite_autoincrement=True,
    )
