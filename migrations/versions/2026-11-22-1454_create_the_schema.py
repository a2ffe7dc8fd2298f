"""Create the schema."""

import sqlalchemy as sa
from alembic import op

from api.models import columns

revision = "515e9cce617e"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "categories",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("description", columns.UnicodeString(length=2000), nullable=True),
        sa.Column("parent_id", columns.BigInt(), nullable=True),
        sa.Column("name", columns.UnicodeString(length=100), nullable=False),
        sa.Column("slug", columns.UnicodeString(length=120), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["categories.id"], name=op.f("fk_categories_parent_id_categories"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_categories")),
        sa.UniqueConstraint("name", name=op.f("uq_categories_name")),
        sa.UniqueConstraint("slug", name=op.f("uq_categories_slug")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_categories_parent_id"), "categories", ["parent_id"])
    op.create_table(
        "tags",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("name", columns.UnicodeString(length=50), nullable=False),
        sa.Column("slug", columns.UnicodeString(length=120), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("name", name=op.f("uq_tags_name")),
        sa.UniqueConstraint("slug", name=op.f("uq_tags_slug")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("full_name", columns.UnicodeString(length=100), nullable=True),
        sa.Column("bio", columns.UnicodeString(length=500), nullable=True),
        sa.Column("username", columns.UnicodeString(length=50), nullable=False),
        sa.Column("email", columns.UnicodeString(length=254), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_superuser", sa.Boolean(), nullable=False),
        sa.Column("hashed_password", columns.UnicodeString(length=255), nullable=False),
        sa.Column("last_login_at", columns.Timestamp(), nullable=True),
        sa.Column("erased_at", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "accounts",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("name", columns.UnicodeString(length=100), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("balance", columns.Cents(), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("balance >= 0 OR user_id IS NULL", name=op.f("ck_accounts_balance")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_accounts_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
        sa.UniqueConstraint("user_id", name=op.f("uq_accounts_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=False),
        sa.Column("route", columns.UnicodeString(length=100), nullable=False),
        sa.Column("key", columns.UnicodeString(length=255), nullable=False),
        sa.Column("fingerprint", columns.UnicodeString(length=64), nullable=False),
        sa.Column("status_code", columns.BigInt(), nullable=True),
        sa.Column("body", columns.UnicodeString(length=16000000), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("user_id", "route", "key", name=op.f("uq_idempotency_keys_user_id_route_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_table(
        "orders",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("shipping_address", columns.UnicodeString(length=500), nullable=True),
        sa.Column("order_number", columns.UnicodeString(length=20), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=False),
        sa.Column("status", columns.UnicodeString(length=17), nullable=False),
        sa.Column("total_amount", columns.Cents(), nullable=False),
        sa.Column("paid_amount", columns.Cents(), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled')", name=op.f("ck_orders_status")
        ),
        sa.CheckConstraint("paid_amount BETWEEN 0 AND total_amount", name=op.f("ck_orders_paid_amount")),
        sa.CheckConstraint("total_amount > 0", name=op.f("ck_orders_total_amount")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_orders_user_id_users"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("order_number", name=op.f("uq_orders_order_number")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_orders_status"), "orders", ["status"])
    op.create_index(op.f("ix_orders_user_id"), "orders", ["user_id"])
    op.create_table(
        "posts",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("title", columns.UnicodeString(length=200), nullable=False),
        sa.Column("content", columns.UnicodeString(length=50000), nullable=False),
        sa.Column("status", columns.UnicodeString(length=17), nullable=False),
        sa.Column("slug", columns.UnicodeString(length=120), nullable=False),
        sa.Column("author_id", columns.BigInt(), nullable=False),
        sa.Column("view_count", columns.BigInt(), nullable=False),
        sa.Column("published_at", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("status IN ('draft', 'published', 'archived')", name=op.f("ck_posts_status")),
        sa.CheckConstraint("view_count >= 0", name=op.f("ck_posts_view_count")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_posts_author_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posts")),
        sa.UniqueConstraint("slug", name=op.f("uq_posts_slug")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_posts_author_id"), "posts", ["author_id"])
    op.create_index(op.f("ix_posts_status"), "posts", ["status"])
    op.create_table(
        "products",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("name", columns.UnicodeString(length=200), nullable=False),
        sa.Column("slug", columns.UnicodeString(length=120), nullable=False),
        sa.Column("sku", columns.UnicodeString(length=50), nullable=False),
        sa.Column("description", columns.UnicodeString(length=5000), nullable=True),
        sa.Column("price", columns.Cents(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("category_id", columns.BigInt(), nullable=True),
        sa.Column("stock_quantity", columns.BigInt(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("price > 0", name=op.f("ck_products_price")),
        sa.CheckConstraint("stock_quantity BETWEEN 0 AND 1000000000", name=op.f("ck_products_stock_quantity")),
        sa.ForeignKeyConstraint(
            ["category_id"], ["categories.id"], name=op.f("fk_products_category_id_categories"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("category_id", "name", name=op.f("uq_products_category_id_name")),
        sa.UniqueConstraint("sku", name=op.f("uq_products_sku")),
        sa.UniqueConstraint("slug", name=op.f("uq_products_slug")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_products_category_id"), "products", ["category_id"])
    op.create_index(op.f("ix_products_name"), "products", ["name"])
    op.create_index(op.f("ix_products_price"), "products", ["price"])
    op.create_table(
        "tokens",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("name", columns.UnicodeString(length=100), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=False),
        sa.Column("kind", columns.UnicodeString(length=15), nullable=False),
        sa.Column("prefix", columns.UnicodeString(length=12), nullable=False),
        sa.Column("token_hash", columns.UnicodeString(length=64), nullable=False),
        sa.Column("expires_at", columns.Timestamp(), nullable=False),
        sa.Column("last_used_at", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("kind IN ('session', 'key')", name=op.f("ck_tokens_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tokens_token_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"])
    op.create_table(
        "notifications",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("kind", columns.UnicodeString(length=24), nullable=False),
        sa.Column("message", columns.UnicodeString(length=500), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=False),
        sa.Column("order_id", columns.BigInt(), nullable=True),
        sa.Column("read_at", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('order_placed', 'order_confirmed', 'order_shipped', 'order_delivered', 'order_cancelled', "
            "'payment_received', 'payment_refunded', 'credit_received')",
            name=op.f("ck_notifications_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_notifications_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_notifications_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notifications_order_id"), "notifications", ["order_id"])
    op.create_index(op.f("ix_notifications_user_id"), "notifications", ["user_id"])
    op.create_table(
        "order_events",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("from_status", columns.UnicodeString(length=17), nullable=True),
        sa.Column("to_status", columns.UnicodeString(length=17), nullable=False),
        sa.Column("order_id", columns.BigInt(), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(
            "from_status IN ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled')",
            name=op.f("ck_order_events_from_status"),
        ),
        sa.CheckConstraint(
            "to_status IN ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled')",
            name=op.f("ck_order_events_to_status"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_order_events_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_order_events_order_id"), "order_events", ["order_id"])
    op.create_index(op.f("ix_order_events_user_id"), "order_events", ["user_id"])
    op.create_table(
        "order_items",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("product_id", columns.BigInt(), nullable=False),
        sa.Column("order_id", columns.BigInt(), nullable=False),
        sa.Column("quantity", columns.BigInt(), nullable=False),
        sa.Column("product_name", columns.UnicodeString(length=200), nullable=False),
        sa.Column("sku", columns.UnicodeString(length=50), nullable=False),
        sa.Column("unit_price", columns.Cents(), nullable=False),
        sa.Column("total_price", columns.Cents(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_items_quantity")),
        sa.CheckConstraint("total_price = quantity * unit_price", name=op.f("ck_order_items_total_price")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_items_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_order_items_product_id_products"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_items")),
        sa.UniqueConstraint("order_id", "product_id", name=op.f("uq_order_items_order_id_product_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_order_items_product_id"), "order_items", ["product_id"])
    op.create_table(
        "payments",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("method", columns.UnicodeString(length=21), nullable=False),
        sa.Column("amount", columns.Cents(), nullable=False),
        sa.Column("reference", columns.UnicodeString(length=100), nullable=True),
        sa.Column("order_id", columns.BigInt(), nullable=False),
        sa.Column("status", columns.UnicodeString(length=17), nullable=False),
        sa.Column("refunded_amount", columns.Cents(), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("updated_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(
            "method IN ('card', 'bank_transfer', 'cash', 'store_credit')", name=op.f("ck_payments_method")
        ),
        sa.CheckConstraint("status IN ('completed', 'refunded')", name=op.f("ck_payments_status")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint("refunded_amount BETWEEN 0 AND amount", name=op.f("ck_payments_refunded_amount")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_payments_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("method", "reference", name=op.f("uq_payments_method_reference")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"])
    op.create_table(
        "post_tags",
        sa.Column("post_id", columns.BigInt(), nullable=False),
        sa.Column("tag_id", columns.BigInt(), nullable=False),
        sa.ForeignKeyConstraint(["post_id"], ["posts.id"], name=op.f("fk_post_tags_post_id_posts"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_post_tags_tag_id_tags"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("post_id", "tag_id", name=op.f("pk_post_tags")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_post_tags_tag_id"), "post_tags", ["tag_id"])
    op.create_table(
        "stock_movements",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("delta", columns.BigInt(), nullable=False),
        sa.Column("product_id", columns.BigInt(), nullable=False),
        sa.Column("reason", columns.UnicodeString(length=20), nullable=False),
        sa.Column("note", columns.UnicodeString(length=200), nullable=True),
        sa.Column("order_id", columns.BigInt(), nullable=True),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint(
            "reason IN ('initial', 'adjustment', 'order', 'cancellation')", name=op.f("ck_stock_movements_reason")
        ),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_stock_movements_delta")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_stock_movements_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_stock_movements_product_id_products"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_stock_movements_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_movements")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_stock_movements_order_id"), "stock_movements", ["order_id"])
    op.create_index(op.f("ix_stock_movements_product_id"), "stock_movements", ["product_id"])
    op.create_index(op.f("ix_stock_movements_user_id"), "stock_movements", ["user_id"])
    op.create_table(
        "transactions",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("amount", columns.Cents(), nullable=False),
        sa.Column("description", columns.UnicodeString(length=200), nullable=True),
        sa.Column("from_account_id", columns.BigInt(), nullable=False),
        sa.Column("to_account_id", columns.BigInt(), nullable=False),
        sa.Column("order_id", columns.BigInt(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transactions_amount")),
        sa.CheckConstraint("from_account_id <> to_account_id", name=op.f("ck_transactions_accounts")),
        sa.ForeignKeyConstraint(
            ["from_account_id"],
            ["accounts.id"],
            name=op.f("fk_transactions_from_account_id_accounts"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_transactions_order_id_orders"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["to_account_id"], ["accounts.id"], name=op.f("fk_transactions_to_account_id_accounts"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_transactions_from_account_id"), "transactions", ["from_account_id"])
    op.create_index(op.f("ix_transactions_order_id"), "transactions", ["order_id"])
    op.create_index(op.f("ix_transactions_to_account_id"), "transactions", ["to_account_id"])
    op.create_table(
        "refunds",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("amount", columns.Cents(), nullable=False),
        sa.Column("reason", columns.UnicodeString(length=200), nullable=False),
        sa.Column("payment_id", columns.BigInt(), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id_payments"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_refunds_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"])
    op.create_index(op.f("ix_refunds_user_id"), "refunds", ["user_id"])


def downgrade() -> None:
    op.drop_table("refunds")
    op.drop_table("transactions")
    op.drop_table("stock_movements")
    op.drop_table("post_tags")
    op.drop_table("payments")
    op.drop_table("order_items")
    op.drop_table("order_events")
    op.drop_table("notifications")
    op.drop_table("tokens")
    op.drop_table("products")
    op.drop_table("posts")
    op.drop_table("orders")
    op.drop_table("idempotency_keys")
    op.drop_table("accounts")
    op.drop_table("users")
    op.drop_table("tags")
    op.drop_table("categories")
