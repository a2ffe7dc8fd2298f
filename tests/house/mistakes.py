"""Eleven mistakes that are easily made in the code of the shop, the tests that find each, and what they say."""

from dataclasses import dataclass

from tests.web.idempotency_cases import CASES

SEQUENTIAL = [
    "tests/routes/orders/test_placing.py::TestPlaceOrder"
    "::test_an_order_writes_its_lines_movements_event_and_notification[postgresql]",
    "tests/routes/orders/test_refused_orders.py::TestRefusedOrder"
    "::test_an_order_is_refused_when_stock_is_short[postgresql]",
    "tests/routes/orders/test_cancelling.py::TestCancelOrder"
    "::test_a_cancelled_order_returns_its_stock_once[postgresql-pending-owner]",
    "tests/routes/accounts/test_transfers.py::TestTransfer"
    "::test_the_whole_balance_can_be_transferred_and_not_a_cent_more[postgresql]",
]
"""With any of the first four mistakes these pass: all is well as long as one request comes after another."""

ORDERS = (
    "tests/routes/orders/test_simultaneous_orders.py::TestSimultaneousOrders"
    "::test_simultaneous_orders_sell_exactly_the_stock[postgresql]"
)
CANCELS = (
    "tests/routes/orders/test_cancelling.py::TestCancelOrder"
    "::test_one_of_eight_simultaneous_cancellations_of_an_order_succeeds[postgresql]"
)
TRANSFERS = (
    "tests/routes/accounts/test_transfers.py::TestTransfer"
    "::test_simultaneous_transfers_spend_a_balance_once[postgresql]"
)
REPEATS = [
    "tests/web/test_idempotency_concurrency.py::TestTwentyFiveRequestsAtOnce"
    f"::test_simultaneous_requests_with_one_key_have_the_effect_of_one_request[postgresql-{route}]"
    for route in CASES
]
ERASURE = (
    "tests/rules/test_erasure.py::TestErase::test_a_user_with_orders_or_credit_is_anonymised[postgresql-order]",
    "tests/rules/test_erasure.py::TestErase::test_a_user_with_orders_or_credit_is_anonymised[postgresql-credit]",
)
ACCESS = (
    "tests/house/test_access.py::TestEveryRoute::test_each_caller_gets_the_declared_answer[postgresql-GET /orders/{id}]"
)
ROUTES = "tests/house/test_routers.py::TestTransaction::test_every_route_runs_in_a_transaction"
LOCKS = tuple(
    "tests/routes/orders/test_shuffled_products.py"
    f"::test_no_deadlock_among_orders_cancellations_and_stock_changes[{database}]"
    for database in ("postgresql", "mariadb")
)
COMMITS = "tests/web/test_commits.py::TestCommit::test_the_commit_is_finished_before_the_answer_is_sent[postgresql]"
RETRIES = "tests/web/test_transactions.py::TestRetry::test_both_requests_of_a_deadlock_succeed[postgresql]"


@dataclass(frozen=True)
class Mistake:
    """Code as it stands, as somebody could have written it, the tests that find it, and a pattern of what they say."""

    file: str
    right: str
    wrong: str
    found_by: tuple[str, ...]
    says: str
    passes: tuple[str, ...] = ()
    """Tests that pass in spite of the mistake."""


MISTAKES = {
    "the stock is read, compared and written": Mistake(
        "api/rules/placing.py",
        """\
    customer, locked, decremented, *given = await driver.together(
        (LOCK_CUSTOMER, {"customer_id": customer_id}), *stock.taking(quantities), *ids
    )
    if not customer.rows:
        raise Unprocessable("body.user_id", "the user does not exist or is inactive")
    if is_named and customer.rows[0][0]:
        raise Unprocessable("body.user_id", await _why_not_staff(session, customer_id))
    products = stock.taken(session, quantities, locked, decremented)
""",
        """\
    customer, *given = await driver.together((LOCK_CUSTOMER, {"customer_id": customer_id}), *ids)
    if not customer.rows:
        raise Unprocessable("body.user_id", "the user does not exist or is inactive")
    if is_named and customer.rows[0][0]:
        raise Unprocessable("body.user_id", await _why_not_staff(session, customer_id))
    products = []
    for product_id, quantity in sorted(quantities.items()):
        product = await session.get(stock.Product, product_id)
        if product is None or not product.is_active or product.stock_quantity < quantity:
            raise stock._shortage({} if product is None else {product_id: product}, {product_id: quantity})
        product.stock_quantity -= quantity
        await session.flush()
        products.append(product)
""",
        (ORDERS,),
        r"\d+ units were sold of 50 in stock",
        tuple(SEQUENTIAL),
    ),
    "an idempotency key is taken and not looked at": Mistake(
        "api/web/idempotency.py",
        "        if HEADER not in request.headers:\n",
        "        if HEADER in request.headers or HEADER not in request.headers:\n",
        tuple(REPEATS),
        r"25 requests with one key changed the figures by",
        tuple(SEQUENTIAL),
    ),
    "an order is cancelled without a look at what it is by then": Mistake(
        "api/rules/order_status.py",
        '.where(col(Order.id) == bindparam("order_id"), col(Order.status) == bindparam("before"))',
        '.where(col(Order.id) == bindparam("order_id"))',
        (CANCELS,),
        r"\d+ units are in stock instead of 100",
        tuple(SEQUENTIAL),
    ),
    "the balance is read and the sum is written": Mistake(
        "api/rules/ledger.py",
        """\
    one, other, balances, *given = await driver.together(
        *((CHANGE_BALANCE, {"account_id": each, "delta": delta, "now": now}) for each, delta in deltas.items()),
        (SELECT_BALANCES, {"source": source, "target": target}),
        *next_ids(driver.dialect, Transaction),
    )
    if not (one.row_count and other.row_count):
        if balances.row_count < len(deltas):
            raise Unprocessable("body.to_account_id", "there is no such account")
        raise Conflict("The balance is too low for this amount.")
""",
        """\
    for account_id, delta in deltas.items():
        this = col(Account.id) == account_id
        found = await driver.fetch(Statement(select(col(Account.balance), col(Account.user_id)).where(this)))
        if not found:
            raise Unprocessable("body.to_account_id", "there is no such account")
        balance, owner = found[0]
        if owner is not None and balance + delta < 0:
            raise Conflict("The balance is too low for this amount.")
        change = update(Account).where(this).values(balance=balance + delta, updated_at=now)
        await driver.execute(Statement(change, recorded=True))
    balances, *given = await driver.together(
        (SELECT_BALANCES, {"source": source, "target": target}), *next_ids(driver.dialect, Transaction)
    )
""",
        (TRANSFERS,),
        r"account \d+ has a balance of \S+, but its transactions add up to",
        tuple(SEQUENTIAL),
    ),
    "the claim of a key is dropped": Mistake(
        "api/web/idempotency.py",
        """\
        if answered := await keyed.begin():
            return _replay(answered)
        try:
""",
        "        try:\n",
        tuple(REPEATS),
        r"25 requests with one key changed the figures by",
    ),
    # Not another ORDER BY: InnoDB locks rows as it finds them, by their ids, whatever it sorts them by later.
    "products are locked one by one, in the order in which a customer chose them": Mistake(
        "api/rules/placing.py",
        "    customer, locked, decremented, *given = await driver.together(\n",
        """\
    for chosen in quantities.items():
        await driver.fetch(stock._lock_products(1), **stock._numbered(dict([chosen])))
    customer, locked, decremented, *given = await driver.together(
""",
        LOCKS,
        r"requests were run again",
    ),
    "a table is dropped from erasure": Mistake(
        "api/rules/erasure.py",
        "and str(each) not in KEPT_ROWS]",
        'and str(each) not in KEPT_ROWS and each.table.name != "notifications"]',
        ERASURE,
        r"assert \[.*\] == \[0, 0, 0, 0\]",
    ),
    "a visibility is dropped": Mistake(
        "api/models/order.py",
        "return user.may_act_for_owner(cls.user_id)",
        "return cls.id > 0",
        (ACCESS,),
        r"does not answer as ACCESS .* says|tells other too much",
    ),
    "routes are left without their transaction": Mistake(
        "api/web/routing.py",
        "prefix=prefix, tags=[tag], route_class=TransactionRoute, generate",
        "prefix=prefix, tags=[tag], generate",
        (ROUTES,),
        r"without a transaction: GET /",
    ),
    "a transaction is committed after the answer": Mistake(
        "api/web/sessions.py",
        """\
async def write_session(request: Request) -> AsyncSession:
    return await run_of(request).write_session()
""",
        """\
from collections.abc import AsyncIterator

from api.web.app_state import database_of


async def write_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with database_of(request).transaction() as session:
        yield session
""",
        (COMMITS,),
        r"the answer was sent before its transaction was committed",
    ),
    "a retry is dropped": Mistake(
        "api/web/transactions.py",
        "                if attempt == MAX_ATTEMPTS or not _may_succeed_again(error, attempt):\n",
        "                if attempt:\n",
        (RETRIES,),
        r"503",
    ),
}
