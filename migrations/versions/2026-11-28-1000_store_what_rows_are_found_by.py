"""Store what rows are found by."""

import sqlalchemy as sa

from api.models import columns
from migrations import online

revision = "1f6b02c9ae57"
down_revision = "76e6d6af1488"
branch_labels = None
depends_on = None

SEARCHED = {
    "categories": ("name", "description"),
    "tags": ("name",),
    "users": ("username", "email", "full_name"),
    "posts": ("title", "content"),
    "products": ("name", "sku", "description"),
}


def upgrade() -> None:
    for table, searched in SEARCHED.items():
        online.add_column(table, sa.Column("search_text", columns.UnicodeString(length=200000), nullable=True))
        online.fill_in_search_texts(table, searched)


def downgrade() -> None:
    for table in SEARCHED:
        online.drop_column(table, "search_text")
