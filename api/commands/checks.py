"""What `verify` proves.

Each check is one statement, which therefore sees one moment, and finds the rows that are wrong. It reads only the
tables, and uses none of the code that wrote them. Money is in cents here: see `models/columns.py`.
"""

from dataclasses import dataclass

from api.models.order import NEXT_STATUSES

LEGAL_STEPS = " OR ".join(
    f"(from_status = '{before}' AND to_status = '{after}')"
    for before, after_statuses in NEXT_STATUSES.items()
    for after in sorted(after_statuses)
)


@dataclass(frozen=True)
class Check:
    """A promise about the rows of one table, and the statement that finds the rows that break it."""

    promise: str
    table: str
    wrong: str
    only_on: str | None = None
    """The one database that has what it is about."""


CHECKS = (
    Check(
        "a product's stock is the sum of its movements",
        "products",
        """
        SELECT p.id, p.sku, p.stock_quantity, COALESCE(SUM(m.delta), 0) AS movements
        FROM products p LEFT JOIN stock_movements m ON m.product_id = p.id
        GROUP BY p.id, p.sku, p.stock_quantity
        HAVING p.stock_quantity <> COALESCE(SUM(m.delta), 0) OR p.stock_quantity < 0
        """,
    ),
    Check(
        "an order's total is the sum of its lines",
        "orders",
        """
        SELECT o.id, o.order_number, o.total_amount, COALESCE(SUM(i.total_price), 0) AS item_total
        FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
        GROUP BY o.id, o.order_number, o.total_amount
        HAVING o.total_amount <> COALESCE(SUM(i.total_price), 0)
        """,
    ),
    Check(
        "a line's total is its quantity times its price",
        "order_items",
        """
        SELECT id, order_id, quantity, unit_price, total_price FROM order_items
        WHERE total_price <> quantity * unit_price
        """,
    ),
    Check(
        "an order took what its lines say from the stock, and gave it back if and only if it was cancelled",
        "order_items",
        """
        SELECT i.id, i.order_id, i.product_id, i.quantity, o.status, COALESCE(SUM(m.delta), 0) AS movements
        FROM order_items i JOIN orders o ON o.id = i.order_id
        LEFT JOIN stock_movements m ON m.order_id = i.order_id AND m.product_id = i.product_id
        GROUP BY i.id, i.order_id, i.product_id, i.quantity, o.status
        HAVING COALESCE(SUM(m.delta), 0) <> CASE o.status WHEN 'cancelled' THEN 0 ELSE -i.quantity END
            OR COUNT(m.id) <> CASE o.status WHEN 'cancelled' THEN 2 ELSE 1 END
        """,
    ),
    Check(
        "a stock movement of an order is of one of its lines",
        "stock_movements",
        """
        SELECT m.id, m.order_id, m.product_id, m.delta
        FROM stock_movements m LEFT JOIN order_items i ON i.order_id = m.order_id AND i.product_id = m.product_id
        WHERE m.order_id IS NOT NULL AND i.id IS NULL
        """,
    ),
    Check(
        "an order's payments add up to its paid amount, and to no more than its total",
        "orders",
        """
        SELECT o.id, o.order_number, o.total_amount, o.paid_amount, COALESCE(SUM(p.amount), 0) AS payments
        FROM orders o LEFT JOIN payments p ON p.order_id = o.id
        GROUP BY o.id, o.order_number, o.total_amount, o.paid_amount
        HAVING o.paid_amount <> COALESCE(SUM(p.amount), 0) OR o.paid_amount > o.total_amount
        """,
    ),
    Check(
        "an order's refunds add up to its refunded amount",
        "orders",
        """
        SELECT o.id, o.order_number, o.paid_amount, o.refunded_amount, COALESCE(SUM(r.amount), 0) AS refunds
        FROM orders o LEFT JOIN payments p ON p.order_id = o.id LEFT JOIN refunds r ON r.payment_id = p.id
        GROUP BY o.id, o.order_number, o.paid_amount, o.refunded_amount
        HAVING o.refunded_amount <> COALESCE(SUM(r.amount), 0)
        """,
    ),
    Check(
        "a payment's refunds add up to its refunded amount, and to no more than the payment",
        "payments",
        """
        SELECT p.id, p.order_id, p.amount, p.refunded_amount, COALESCE(SUM(r.amount), 0) AS refunds, p.status
        FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id
        GROUP BY p.id, p.order_id, p.amount, p.refunded_amount, p.status
        HAVING p.refunded_amount <> COALESCE(SUM(r.amount), 0) OR p.refunded_amount > p.amount
            OR p.status <> CASE WHEN p.refunded_amount = p.amount THEN 'refunded' ELSE 'completed' END
        """,
    ),
    Check(
        "the payments of a cancelled order are refunded",
        "payments",
        """
        SELECT p.id, p.order_id, p.amount, p.refunded_amount
        FROM payments p JOIN orders o ON o.id = p.order_id
        WHERE o.status = 'cancelled' AND p.refunded_amount <> p.amount
        """,
    ),
    Check(
        "store credit paid less refunds equals the order's transactions",
        "orders",
        """
        SELECT o.id, o.order_number, COALESCE(paid.amount, 0) AS paid, COALESCE(moved.amount, 0) AS moved
        FROM orders o
        LEFT JOIN (
            SELECT order_id, SUM(amount - refunded_amount) AS amount
            FROM payments WHERE method = 'store_credit' GROUP BY order_id
        ) paid ON paid.order_id = o.id
        LEFT JOIN (
            SELECT t.order_id, SUM(CASE WHEN source.user_id IS NULL THEN -t.amount ELSE t.amount END) AS amount
            FROM transactions t JOIN accounts source ON source.id = t.from_account_id GROUP BY t.order_id
        ) moved ON moved.order_id = o.id
        WHERE COALESCE(paid.amount, 0) <> COALESCE(moved.amount, 0)
        """,
    ),
    Check(
        "an account's balance is what came in less what went out, and below zero for the shop's own alone",
        "accounts",
        """
        SELECT a.id, a.name, a.balance, COALESCE(came.amount, 0) - COALESCE(went.amount, 0) AS transactions
        FROM accounts a
        LEFT JOIN (SELECT to_account_id, SUM(amount) AS amount FROM transactions GROUP BY to_account_id) came
            ON came.to_account_id = a.id
        LEFT JOIN (SELECT from_account_id, SUM(amount) AS amount FROM transactions GROUP BY from_account_id) went
            ON went.from_account_id = a.id
        WHERE a.balance <> COALESCE(came.amount, 0) - COALESCE(went.amount, 0)
            OR (a.balance < 0 AND a.user_id IS NOT NULL)
        """,
    ),
    Check(
        "all balances sum to zero",
        "accounts",
        "SELECT SUM(balance) AS total FROM accounts HAVING SUM(balance) <> 0",
    ),
    Check(
        "an order's status is that of its last event",
        "orders",
        """
        SELECT o.id, o.order_number, o.status, e.to_status AS last_event
        FROM orders o
        LEFT JOIN order_events e
            ON e.id = (SELECT MAX(last.id) FROM order_events last WHERE last.order_id = o.id)
        WHERE e.id IS NULL OR e.to_status <> o.status
        """,
    ),
    Check(
        "an order's events follow each other legally, from pending on",
        "order_events",
        f"""
        SELECT id, order_id, before_status, from_status, to_status FROM (
            SELECT e.*, LAG(e.to_status) OVER (PARTITION BY e.order_id ORDER BY e.id) AS before_status
            FROM order_events e
        ) chain
        WHERE NOT (before_status IS NULL AND from_status IS NULL AND to_status = 'pending')
            AND NOT (before_status IS NOT NULL AND from_status IS NOT NULL AND before_status = from_status
                AND ({LEGAL_STEPS}))
        """,  # noqa: S608 - made of the statuses in the code
    ),
    Check(
        "an order belongs to a user",
        "orders",
        "SELECT o.id, o.user_id FROM orders o LEFT JOIN users u ON u.id = o.user_id WHERE u.id IS NULL",
    ),
    Check(
        "a notification belongs to a user",
        "notifications",
        "SELECT n.id, n.user_id FROM notifications n LEFT JOIN users u ON u.id = n.user_id WHERE u.id IS NULL",
    ),
    Check(
        "a used idempotency key has its answer",
        "idempotency_keys",
        "SELECT id, user_id, route FROM idempotency_keys WHERE status_code IS NULL OR body IS NULL",
    ),
    Check(
        "a count of products is how many there are",
        "product_counts",
        """
        SELECT category_id, is_active, COALESCE(counted.number, 0) AS counted, COALESCE(present.number, 0) AS present
        FROM product_counts counted FULL JOIN (
            SELECT COALESCE(category_id, 0) AS category_id, is_active, COUNT(*) AS number FROM products GROUP BY 1, 2
        ) present USING (category_id, is_active)
        WHERE COALESCE(counted.number, 0) <> COALESCE(present.number, 0)
        """,
        only_on="postgresql",
    ),
)


def checks_on(backend: str) -> list[Check]:
    return [each for each in CHECKS if each.only_on in (None, backend)]
