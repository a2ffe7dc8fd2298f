"""Store when users were active.

A token that is revoked, or purged after it has expired, takes along when it was used.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "6d0f2b8e94a7"
down_revision = "a93c6f2e51d8"
branch_labels = None
depends_on = None

BATCH = 10_000
"""Users that are locked at once, for a fraction of a second."""

FILL_IN = """
UPDATE users SET last_active_at = (SELECT MAX(t.last_used_at) FROM tokens t WHERE t.user_id = users.id)
WHERE EXISTS (SELECT 1 FROM tokens t WHERE t.user_id = users.id AND t.last_used_at IS NOT NULL)
"""
FILL_IN_BATCH = sa.text(f"{FILL_IN.rstrip()} AND id > :last AND id <= :until")
END_OF_BATCH = sa.text("SELECT MAX(id) FROM (SELECT id FROM users WHERE id > :last ORDER BY id LIMIT :batch) following")


def upgrade() -> None:
    online.add_column("users", sa.Column("last_active_at", columns.Timestamp(), nullable=True))
    if op.get_context().as_sql:
        op.execute(FILL_IN)
        return
    with online.by_itself("users"):
        last = 0
        while until := op.get_bind().execute(END_OF_BATCH, {"last": last, "batch": BATCH}).scalar():
            op.get_bind().execute(FILL_IN_BATCH, {"last": last, "until": until})
            last = until


def downgrade() -> None:
    online.drop_column("users", "last_active_at")
