"""Index what rows are found by.

By trigrams, on PostgreSQL. Its extension pg_trgm is part of every distribution and managed service, but not of each
PostgreSQL that comes as a package of another language; without it a search reads the whole table.
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "9c41d0a7f2be"
down_revision = "1f6b02c9ae57"
branch_labels = None
depends_on = None

TABLES = ("categories", "tags", "users", "posts", "products")

CREATE_EXTENSION = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
EXCEPTION
    WHEN OTHERS THEN RAISE NOTICE USING MESSAGE = SQLERRM;
END
$$
"""
"""Where it cannot be created, or not by this role, the migration goes on without it."""

OPERATORS = sa.text(
    "SELECT quote_ident(nspname) || '.gin_trgm_ops' FROM pg_opclass JOIN pg_namespace n ON n.oid = opcnamespace "
    "WHERE opcname = 'gin_trgm_ops'"
)
"""Some hosts keep extensions in a schema of their own."""


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(CREATE_EXTENSION)
    operators = "gin_trgm_ops" if op.get_context().as_sql else op.get_bind().execute(OPERATORS).scalar()
    if operators is not None:
        for table in TABLES:
            online.create_index(
                f"ix_{table}_search_text",
                table,
                ["search_text"],
                postgresql_using="gin",
                postgresql_ops={"search_text": operators},
            )


def downgrade() -> None:
    """The extension stays: it may have been there before, and something else may use it by now."""
    if op.get_context().dialect.name == "postgresql":
        for table in TABLES:
            online.drop_index(f"ix_{table}_search_text", table)
