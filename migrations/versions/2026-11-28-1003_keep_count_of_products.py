"""Keep count of products.

On PostgreSQL, which visits each row that it counts: see api/reads/counts.py. The statements are written out here,
because Alembic compares no triggers.
"""

from alembic import op

from migrations import online

revision = "5b7e90d3c186"
down_revision = "c2d5e8f1a364"
branch_labels = None
depends_on = None

CREATE_TABLE = """
CREATE TABLE product_counts (
    category_id BIGINT NOT NULL,
    is_active BOOLEAN NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (category_id, is_active)
)
"""
"""A product without a category is counted under 0, which is no id."""

COUNT = """
INSERT INTO product_counts AS c (category_id, is_active, number)
SELECT coalesce(category_id, 0), is_active, {sign}count(*) FROM {rows} GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (category_id, is_active) DO UPDATE SET number = c.number + excluded.number
"""
"""In the order of the key, so that two statements seldom block each other; a deadlock is run again."""

MOVE = """
INSERT INTO product_counts AS c (category_id, is_active, number)
SELECT category_id, is_active, sum(number) FROM (
    VALUES (coalesce(OLD.category_id, 0), OLD.is_active, -1), (coalesce(NEW.category_id, 0), NEW.is_active, 1)
) AS moved (category_id, is_active, number) GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (category_id, is_active) DO UPDATE SET number = c.number + excluded.number
"""

FUNCTION = """
CREATE FUNCTION count_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {body};
    RETURN NULL;
END
$$
"""

TRIGGERS = {
    "added_products": (
        COUNT.format(sign="", rows="added"),
        "AFTER INSERT ON products REFERENCING NEW TABLE AS added FOR EACH STATEMENT",
    ),
    "deleted_products": (
        COUNT.format(sign="-", rows="deleted"),
        "AFTER DELETE ON products REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT",
    ),
    # For each row: only so does an UPDATE of other columns, such as a sale, not come here at all.
    "moved_products": (
        MOVE,
        "AFTER UPDATE OF category_id, is_active ON products FOR EACH ROW "
        "WHEN ((OLD.category_id, OLD.is_active) IS DISTINCT FROM (NEW.category_id, NEW.is_active))",
    ),
    "truncated_products": ("DELETE FROM product_counts", "AFTER TRUNCATE ON products FOR EACH STATEMENT"),
}


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(CREATE_TABLE)
    # What is written meanwhile would be counted by neither; reading goes on.
    op.execute("LOCK TABLE products IN SHARE ROW EXCLUSIVE MODE")
    for name, (body, event) in TRIGGERS.items():
        op.execute(FUNCTION.format(event=name, body=body))
        op.execute(f"CREATE TRIGGER count_{name} {event} EXECUTE FUNCTION count_{name}()")
        op.execute(f"ALTER FUNCTION count_{name}() SET search_path FROM CURRENT")  # a restore has another one
    op.execute(COUNT.format(sign="", rows="products"))
    with online.by_itself("products"):  # commits, so that writers go on
        pass


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER count_{name} ON products")
        op.execute(f"DROP FUNCTION count_{name}()")
    op.execute("DROP TABLE product_counts")
