"""Index the audit trail by entity."""

from migrations import online

revision = "5e83a1c70b94"
down_revision = "c41e6a90d725"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_audit_entries_entity_id", "audit_entries"


def upgrade() -> None:
    online.create_index(NAME, TABLE, ["entity", "id"])


def downgrade() -> None:
    online.drop_index(NAME, TABLE)
