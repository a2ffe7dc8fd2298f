"""Index what lists are read by."""

from migrations import online

revision = "c2d5e8f1a364"
down_revision = "9c41d0a7f2be"
branch_labels = None
depends_on = None

NEW = {
    "ix_notifications_user_id_id": ("notifications", ["user_id", "id"]),
    "ix_orders_status_id": ("orders", ["status", "id"]),
    "ix_orders_user_id_id": ("orders", ["user_id", "id"]),
    "ix_posts_author_id_id": ("posts", ["author_id", "id"]),
    "ix_posts_status_id": ("posts", ["status", "id"]),
    "ix_products_category_id_id": ("products", ["category_id", "id"]),
    "ix_products_category_id_price_id": ("products", ["category_id", "price", "id"]),
    "ix_products_name_id": ("products", ["name", "id"]),
    "ix_products_price_id_is_active": ("products", ["price", "id", "is_active"]),
    "ix_stock_movements_product_id_id": ("stock_movements", ["product_id", "id"]),
}
COVERED = {
    "ix_notifications_user_id": ("notifications", ["user_id"]),
    "ix_orders_status": ("orders", ["status"]),
    "ix_orders_user_id": ("orders", ["user_id"]),
    "ix_posts_author_id": ("posts", ["author_id"]),
    "ix_posts_status": ("posts", ["status"]),
    "ix_products_category_id": ("products", ["category_id"]),
    "ix_products_name": ("products", ["name"]),
    "ix_products_price": ("products", ["price"]),
    "ix_stock_movements_product_id": ("stock_movements", ["product_id"]),
}
"""Each is the beginning of a new one. They go last: MySQL keeps one for each foreign key."""


def upgrade() -> None:
    for name, (table, columns) in NEW.items():
        online.create_index(name, table, columns)
    for name, (table, _) in COVERED.items():
        online.drop_index(name, table)


def downgrade() -> None:
    for name, (table, columns) in COVERED.items():
        online.create_index(name, table, columns)
    for name, (table, _) in NEW.items():
        online.drop_index(name, table)
