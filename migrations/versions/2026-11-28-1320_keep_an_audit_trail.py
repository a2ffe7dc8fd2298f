"""Keep an audit trail.

It begins empty: rows that are there already get their first entry with their next change. A release before this one
writes no entries; what it changes beside this one is named by `python -m api verify`, where the row has an entry.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "b7d20c8f4e16"
down_revision = "d17b40f3c6a8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_table(
        "audit_entries",
        sa.Column("action", columns.UnicodeString(length=15), nullable=False),
        sa.Column("entity", columns.UnicodeString(length=64), nullable=False),
        sa.Column("row_id", columns.BigInt(), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("token_id", columns.BigInt(), nullable=True),
        sa.Column("command", columns.UnicodeString(length=50), nullable=True),
        sa.Column("request_id", columns.UnicodeString(length=128), nullable=True),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("action IN ('created', 'changed', 'deleted')", name=op.f("ck_audit_entries_action")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        sqlite_autoincrement=True,
    )
    online.create_index("ix_audit_entries_entity_row_id_id", "audit_entries", ["entity", "row_id", "id"])
    online.create_index("ix_audit_entries_user_id_id", "audit_entries", ["user_id", "id"])
    online.create_index("ix_audit_entries_created_at", "audit_entries", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    online.drop_table("audit_entries")
