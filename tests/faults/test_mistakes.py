"""The four classic mistakes, each put into a copy of the shop: tests that pass there without it find what it breaks.

To repeat one by hand, make the edit that stands in `MISTAKES` and run pytest with the tests that are named there.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_idempotency import CASES

pytestmark = pytest.mark.faults

SEQUENTIAL = [
    "tests/test_orders.py::TestPlaceOrder::test_what_it_leaves_in_the_database[postgresql]",
    "tests/test_orders.py::TestARefusedOrderChangesNothing::test_more_than_is_in_stock[postgresql]",
    "tests/test_orders.py::TestCancelOrder::test_gives_the_stock_back_exactly_once[postgresql-pending-owner]",
    "tests/test_accounts.py::TestTransfer::test_the_whole_balance_can_go_and_not_a_cent_more[postgresql]",
]
"""With any of the mistakes these pass: all is well as long as one request comes after another."""

ORDERS = ["tests/test_orders.py::TestManyOrdersAtOnce::test_sell_exactly_what_is_there[postgresql]"]
CANCELS = ["tests/test_orders.py::TestCancelOrder::test_of_eight_at_once_one_cancels_each_of_twenty_orders[postgresql]"]
TRANSFERS = ["tests/test_accounts.py::TestTransfer::test_a_balance_is_spent_once_however_many_try_at_once[postgresql]"]
REPEATS = [
    f"tests/test_idempotency.py::TestTwentyFiveAtOnce::test_have_the_effect_of_one[postgresql-{route}]"
    for route in CASES
]


@dataclass(frozen=True)
class Mistake:
    """Code as it stands, as somebody could have written it, the tests that find it, and what they find broken."""

    file: str
    right: str
    wrong: str
    found_by: list[str]
    broken: str


MISTAKES = {
    "the stock is read, compared and written": Mistake(
        "api/rules/stock.py",
        """\
        taken = await connection.execute(TAKE, {"product_id": product_id, "quantity": quantity})
        if taken.rowcount == 0:
            raise await _shortage(session, product_id)
""",
        """\
        product = await session.get(Product, product_id)
        if product is None or not product.is_active or product.stock_quantity < quantity:
            raise await _shortage(session, product_id)
        product.stock_quantity -= quantity
        await session.flush()
""",
        ORDERS,
        "units were sold",
    ),
    "an idempotency key is taken and not looked at": Mistake(
        "api/transactions.py",
        """\
    if key is None:
        return
    row = """,
        """\
    return
    row = """,
        REPEATS,
        "what one does",
    ),
    "an order is cancelled without a look at what it is by then": Mistake(
        "api/rules/orders.py",
        "        .where(col(Order.id) == order.id, col(Order.status) == order.status)\n",
        "        .where(col(Order.id) == order.id)\n",
        CANCELS,
        "units are back",
    ),
    "the balance is read and the sum is written": Mistake(
        "api/rules/ledger.py",
        """\
    covered = or_(col(Account.user_id).is_(None), col(Account.balance) + delta >= 0)
    changed = await session.exec(
        update(Account)
        .where(col(Account.id) == account_id, covered)
        .values(balance=col(Account.balance) + delta)
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount == 0:
        if (await session.exec(select(Account.id).where(Account.id == account_id))).first() is None:
            raise Unprocessable("body.to_account_id", "there is no such account")
        raise Conflict("The balance does not cover this amount.")
""",
        """\
    account = await session.get(Account, account_id)
    if account is None:
        raise Unprocessable("body.to_account_id", "there is no such account")
    if account.user_id is not None and account.balance + delta < 0:
        raise Conflict("The balance does not cover this amount.")
    account.balance += delta
    await session.flush()
""",
        TRANSFERS,
        "what came in less what went out",
    ),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "*.db*")
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("mistakes") / "shop", ignore=ignored))


@contextmanager
def made(shop: Path, mistake: Mistake) -> Iterator[None]:
    file = shop / mistake.file
    right = file.read_text()
    assert right.count(mistake.right) == 1, f"{mistake.file} has changed: make the mistake in what it is now"
    file.write_text(right.replace(mistake.right, mistake.wrong))
    try:
        yield
    finally:
        file.write_text(right)


def failures(shop: Path, tests: list[str]) -> dict[str, str]:
    """Which of the tests fail there, and what each says."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-n", "0", *tests]
    environment = {**os.environ, "PYTHONPATH": str(shop), "COLUMNS": "300"}  # wide enough for what a failure says
    done = subprocess.run(command, env=environment, cwd=shop, capture_output=True, text=True, timeout=120)
    if "postgresql: NOT TESTED" in done.stdout:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("PostgreSQL is not available")
    failed = dict(re.findall(r"^FAILED (.+?) - (.+)$", done.stdout, re.MULTILINE))
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == (1 if failed else 0), done.stdout + done.stderr
    assert "\nERROR " not in done.stdout, done.stdout
    assert passed is not None, done.stdout
    assert int(passed[1]) + len(failed) == len(tests), done.stdout
    return failed


def test_without_a_mistake_all_pass(shop: Path) -> None:
    found_by = [test for mistake in MISTAKES.values() for test in mistake.found_by]
    assert failures(shop, [*SEQUENTIAL, *found_by]) == {}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_breaks_the_books(name: str, shop: Path) -> None:
    mistake = MISTAKES[name]
    with made(shop, mistake):
        failed = failures(shop, [*SEQUENTIAL, *mistake.found_by])
    assert failed == dict.fromkeys(mistake.found_by, f"AssertionError: {mistake.broken}")
