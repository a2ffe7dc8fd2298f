"""Record events, and what the worker does.

The feed begins here: what happened before has no event, nor has what a release before this one does beside this one.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "c41e6a90d725"
down_revision = "b7d20c8f4e16"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_table(
        "events",
        sa.Column("type", columns.UnicodeString(length=24), nullable=False),
        sa.Column("subject", columns.UnicodeString(length=64), nullable=False),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("timestamp", columns.Timestamp(), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("position", columns.BigInt(), nullable=True),
        sa.CheckConstraint(
            "type IN ('order.placed', 'order.confirmed', 'order.shipped', 'order.delivered', 'order.cancelled', "
            "'payment.received', 'payment.refunded', 'stock.low', 'user.registered', 'user.erased')",
            name=op.f("ck_events_type"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_events_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("position", name=op.f("uq_events_position")),
        sqlite_autoincrement=True,
    )
    online.create_index("ix_events_user_id", "events", ["user_id"])
    online.create_index("ix_events_type_position", "events", ["type", "position"])

    online.create_table(
        "jobs",
        sa.Column("name", columns.UnicodeString(length=50), nullable=False),
        sa.Column("due_at", columns.Timestamp(), nullable=False),
        sa.Column("claimed_until", columns.Timestamp(), nullable=True),
        sa.Column("finished_at", columns.Timestamp(), nullable=True),
        sa.Column("failures", columns.BigInt(), nullable=False),
        sa.Column("error", columns.UnicodeString(length=500), nullable=True),
        sa.Column("position", columns.BigInt(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    online.drop_table("jobs")
    online.drop_table("events")
