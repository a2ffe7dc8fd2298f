"""Add the default categories."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from api.models import columns

revision = "8c1b7f20d3a4"
down_revision = "515e9cce617e"
branch_labels = None
depends_on = None

DEFAULTS = [
    ("Electronics", "electronics"),
    ("Clothing", "clothing"),
    ("Books", "books"),
    ("Home & Garden", "home-garden"),
]

categories = sa.table(
    "categories",
    sa.column("id", columns.BigInt()),
    sa.column("name", columns.UnicodeString(100)),
    sa.column("slug", columns.UnicodeString(120)),
    sa.column("description", columns.UnicodeString(2_000)),
    sa.column("parent_id", columns.BigInt()),
    sa.column("created_at", columns.Timestamp()),
    sa.column("updated_at", columns.Timestamp()),
)
products = sa.table("products", sa.column("category_id", columns.BigInt()))


def upgrade() -> None:
    """Add those of which neither the name nor the slug is taken."""
    now = sa.literal(datetime.now(UTC).replace(tzinfo=None))  # MySQL takes no offset; env.py makes PostgreSQL add it
    for name, slug in DEFAULTS:
        taken = sa.exists().where(sa.or_(categories.c.name == name, categories.c.slug == slug))
        row = sa.select(
            sa.literal(name, columns.UnicodeString(100)), sa.literal(slug, columns.UnicodeString(120)), now, now
        ).where(~taken)
        op.execute(categories.insert().from_select(["name", "slug", "created_at", "updated_at"], row))


def downgrade() -> None:
    """Remove those that nobody has changed and nothing refers to."""
    # MySQL deletes from no table that it reads in a subquery, unless it has to write that one down first: DISTINCT.
    parents = sa.select(categories.c.parent_id).where(categories.c.parent_id.is_not(None)).distinct().subquery()
    in_use = sa.select(products.c.category_id).where(products.c.category_id.is_not(None))
    for name, slug in DEFAULTS:
        op.execute(
            categories.delete().where(
                categories.c.name == name,
                categories.c.slug == slug,
                categories.c.description.is_(None),
                categories.c.parent_id.is_(None),
                categories.c.id.not_in(sa.select(parents.c.parent_id)),
                categories.c.id.not_in(in_use),
            )
        )
