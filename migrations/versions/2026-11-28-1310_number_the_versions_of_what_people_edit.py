"""Number the versions of what people edit.

No row is written, because the default is constant. An older release beside this one adds rows by it, and edits without
raising a version: until it is restarted, nobody is told of its edits by an If-Match.
"""

import sqlalchemy as sa

from api.models import columns
from migrations import online

revision = "d17b40f3c6a8"
down_revision = "6d0f2b8e94a7"
branch_labels = None
depends_on = None

EDITED = ("categories", "tags", "users", "posts", "products")


def upgrade() -> None:
    for table in EDITED:
        online.add_column(table, sa.Column("version", columns.BigInt(), server_default="1", nullable=False))


def downgrade() -> None:
    for table in EDITED:
        online.drop_column(table, "version")
