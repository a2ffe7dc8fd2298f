"""The rows that migrations add: the default categories and the accounts of the shop."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from alembic.util import CommandError
from sqlalchemy import make_url

from api.models.account import Account, ShopAccount
from api.models.category import Category
from api.models.product import Product
from api.models.tag import Tag
from api.models.user import User
from tests.alembic_support import alembic, contents, put, sql
from tests.databases import Backend
from tests.house.migrations import DEFAULT_CATEGORIES, REVISIONS, SCHEMA, write_world

NOW = "'2026-05-12 09:30:00.000000', '2026-05-12 09:30:00.000000'"
"""The two times of a row."""


class TestDefaultCategories:
    def categories(self, url: str) -> dict[str, str]:
        return {row.name: row.slug for row in sql(url, "SELECT name, slug FROM categories")}

    def test_the_default_categories_are_added(self, url: str) -> None:
        alembic(url, "upgrade", "head")
        assert self.categories(url) == DEFAULT_CATEGORIES

    def test_categories_that_exist_are_left_as_they_are(self, url: str) -> None:
        alembic(url, "upgrade", SCHEMA)
        put(
            url,
            Category(name="Books", slug="read-me", description="Paper."),
            Category(name="Things with plugs", slug="electronics"),
        )
        mine = contents(url)["categories"]
        alembic(url, "upgrade", "head")
        assert self.categories(url) == {
            "Books": "read-me",
            "Things with plugs": "electronics",
            "Clothing": "clothing",
            "Home & Garden": "home-garden",
        }
        alembic(url, "downgrade", SCHEMA)
        assert contents(url)["categories"] == mine

    def test_categories_in_use_outlive_a_downgrade(self, url: str) -> None:
        alembic(url, "upgrade", "head")
        ids = {row.name: row.id for row in sql(url, "SELECT id, name FROM categories")}
        radio = Product(name="Radio", slug="radio", sku="R-1", price=Decimal("9.99"), category_id=ids["Electronics"])
        put(url, radio, Category(name="Novels", slug="novels", parent_id=ids["Books"]))
        sql(url, "UPDATE categories SET description = 'To wear.' WHERE name = 'Clothing'")
        alembic(url, "downgrade", SCHEMA)
        assert self.categories(url).keys() == {"Electronics", "Books", "Novels", "Clothing"}
        alembic(url, "upgrade", "head")
        assert self.categories(url) == DEFAULT_CATEGORIES | {"Novels": "novels"}

    def test_the_times_of_migrated_rows_are_utc(self, url: str, backend: Backend) -> None:
        if backend.name == "postgresql":
            name = make_url(url).database
            sql(url, f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
        alembic(url, "upgrade", "head")
        created = [row for table in ("categories", "accounts") for row in contents(url)[table]]
        times = [value for row in created for value in row if isinstance(value, datetime)]
        assert len(times) == 2 * len(created)
        assert all(abs(each - datetime.now(UTC)) < timedelta(minutes=1) for each in times)


class TestRefundsOfOrders:
    BEFORE = REVISIONS[REVISIONS.index("e4a8d17c5b02") - 1]

    def refunded(self, url: str) -> dict[int, int]:
        """What stands in the orders of which anything was refunded, in cents."""
        rows = sql(url, "SELECT id, refunded_amount FROM orders WHERE refunded_amount <> 0")
        return {row.id: row.refunded_amount for row in rows}

    @pytest.mark.parametrize("more", [0, 1_100], ids=["few", "many"])
    def test_orders_get_what_was_refunded_of_their_payments(self, url: str, more: int) -> None:
        """A table with many orders is changed in steps that commit, one with few within one transaction."""
        alembic(url, "upgrade", self.BEFORE)
        put(url, User(username="buyer", email="buyer@example.com", hashed_password=""))
        (user,) = sql(url, "SELECT id FROM users")
        orders = [f"('N-{number}', {user.id}, 'delivered', 10000, 10000, {NOW})" for number in range(3 + more)]
        columns = "order_number, user_id, status, total_amount, paid_amount, created_at, updated_at"
        sql(url, f"INSERT INTO orders ({columns}) VALUES {', '.join(orders)}")
        ids = [row.id for row in sql(url, "SELECT id FROM orders ORDER BY id")]
        parts = {ids[0]: [3000, 2050], ids[1]: [5000, 5000], ids[2]: [0, 0], ids[-1]: [1, 0]}
        payments = [
            f"({order}, 'card', 'completed', 5000, {part}, {NOW})" for order, its in parts.items() for part in its
        ]
        columns = "order_id, method, status, amount, refunded_amount, created_at, updated_at"
        sql(url, f"INSERT INTO payments ({columns}) VALUES {', '.join(payments)}")
        before = contents(url)["orders"]

        for _ in range(2):
            alembic(url, "upgrade", "e4a8d17c5b02")
            assert self.refunded(url) == {order: sum(its) for order, its in parts.items() if sum(its)}
            with pytest.raises(Exception, match=r"(?i)check|constraint"):
                sql(url, f"UPDATE orders SET refunded_amount = 10001 WHERE id = {ids[0]}")
            alembic(url, "downgrade", self.BEFORE)
            assert contents(url)["orders"] == before


class TestVersions:
    BEFORE = "a93c6f2e51d8"

    @pytest.mark.parametrize("more", [0, 1_100], ids=["few", "many"])
    def test_rows_that_people_edit_get_version_1_also_those_that_an_older_release_adds(
        self, url: str, more: int
    ) -> None:
        """A table with many rows is changed by itself, one with few within the command's transaction."""
        alembic(url, "upgrade", self.BEFORE)
        put(url, Tag(name="Vinyl", slug="vinyl"))
        values = [f"('{name}', '{name}', '', {NOW})" for name in map("t-{}".format, range(more))]
        add = "INSERT INTO tags (name, slug, search_text, created_at, updated_at) VALUES"
        if values:
            sql(url, f"{add} {', '.join(values)}")
        before = contents(url)["tags"]

        for _ in range(2):
            alembic(url, "upgrade", "head")
            sql(url, f"{add} ('new', 'new', '', {NOW})")
            assert [tuple(row) for row in sql(url, "SELECT DISTINCT version FROM tags")] == [(1,)]
            sql(url, "DELETE FROM tags WHERE name = 'new'")
            alembic(url, "downgrade", self.BEFORE)
            assert contents(url)["tags"] == before


class TestAccountsOfTheShop:
    def names(self, url: str) -> set[str]:
        return {row.name for row in sql(url, "SELECT name FROM accounts")}

    def test_the_accounts_that_the_shop_asks_for_are_added(self, url: str) -> None:
        alembic(url, "upgrade", "head")
        assert self.names(url) == {each.value for each in ShopAccount}
        assert [tuple(row) for row in sql(url, "SELECT DISTINCT user_id, balance FROM accounts")] == [(None, 0)]

    def test_accounts_that_exist_are_left_as_they_are(self, url: str) -> None:
        alembic(url, "upgrade", SCHEMA)
        put(url, Account(name="Sales", balance=Decimal("0.00")))
        mine = contents(url)["accounts"]
        alembic(url, "upgrade", "head")
        assert self.names(url) == {"Issued credit", "Sales"}
        assert set(mine) < set(contents(url)["accounts"])

    def test_accounts_with_transactions_outlive_a_downgrade(self, url: str) -> None:
        alembic(url, "upgrade", "head")
        write_world(url)  # credit was issued, and no order was paid with it
        before = self.names(url)
        alembic(url, "downgrade", SCHEMA)
        assert self.names(url) == before - {"Sales"}


class TestSpelling:
    """Rows of before usernames were lower case and letters composed."""

    BEFORE = "e4a8d17c5b02"
    DECOMPOSED, COMPOSED = "Cafe\u0301", "Caf\u00e9"

    def test_texts_are_spelled_as_requests_spell_them_now(self, url: str) -> None:
        alembic(url, "upgrade", self.BEFORE)
        put(
            url,
            User(username="JohnDoe", email="john@example.com", hashed_password="", full_name=self.DECOMPOSED),
            Category(name=self.DECOMPOSED, slug="cafe", description=f"{self.DECOMPOSED}\nau lait"),
            Tag(name=self.DECOMPOSED, slug="cafe"),
        )
        alembic(url, "upgrade", "head")
        users = sql(url, "SELECT username, full_name FROM users")
        assert [tuple(row) for row in users] == [("johndoe", self.COMPOSED)]
        categories = sql(url, "SELECT name, description FROM categories WHERE slug = 'cafe'")
        assert [tuple(row) for row in categories] == [(self.COMPOSED, f"{self.COMPOSED}\nau lait")]
        assert sql(url, "SELECT name FROM tags")[0].name == self.COMPOSED

    def test_texts_that_would_not_fit_any_more_stop_the_upgrade_too(self, url: str) -> None:
        """U+0958 is one letter, and two when it is composed."""
        alembic(url, "upgrade", self.BEFORE)
        put(
            url,
            User(username="Admin", email="a@example.com", hashed_password="", full_name="\u0958" * 60),
            User(username="admin", email="b@example.com", hashed_password="", full_name="\u0958" * 50),
            Tag(name="\u0958" * 50, slug="qa"),
            Category(name=self.DECOMPOSED, slug="cafe"),
        )
        before = contents(url)

        with pytest.raises(CommandError) as stopped:
            alembic(url, "upgrade", "head")

        assert str(stopped.value) == (
            "Some rows would have the same name, which is unique: users 1 'Admin' and 2 'admin'. Rename one of each. "
            "Some texts would be too long when their letters are composed: tags 1, whose name would have 100 "
            "characters of 50; users 1, whose full_name would have 120 characters of 100. Shorten each. "
            "Then upgrade again."
        )
        assert contents(url) == before

    def test_rows_that_would_become_one_stop_the_upgrade_before_anything_is_changed(self, url: str) -> None:
        alembic(url, "upgrade", self.BEFORE)
        for username in ("Admin", "admin", "ADMIN", "JohnDoe"):
            put(url, User(username=username, email=f"{username}@example.com", hashed_password=""))
        for number, name in enumerate((self.DECOMPOSED, self.COMPOSED)):
            put(url, Category(name=name, slug=f"cafe-{number}"))
            put(url, Tag(name=name, slug=f"cafe-{number}"))
        ids = [row.id for row in sql(url, "SELECT id FROM categories WHERE slug IN ('cafe-0', 'cafe-1') ORDER BY slug")]
        for number, (name, category_id) in enumerate(
            ((self.DECOMPOSED, ids[0]), (self.COMPOSED, ids[0]), (self.COMPOSED, ids[1]))
        ):
            product = Product(
                name=name, slug=f"c-{number}", sku=f"C-{number}", price=Decimal("1.00"), category_id=category_id
            )
            put(url, product)
        before = contents(url)

        with pytest.raises(CommandError) as stopped:
            alembic(url, "upgrade", "head")

        message = str(stopped.value)
        assert message.startswith("Some rows would have the same name")
        for each in (
            "users 1 'Admin' and 2 'admin'",
            "users 1 'Admin' and 3 'ADMIN'",
            "tags 1 ",
            "categories ",
            "products 1 ",
        ):
            assert each in message
        assert "JohnDoe" not in message
        assert "products 3" not in message
        assert "Rename one of each" in message
        assert contents(url) == before
        sql(
            url,
            "UPDATE users SET username = 'boss' WHERE username = 'Admin'",
            "UPDATE users SET username = 'chief' WHERE username = 'ADMIN'",
            "UPDATE categories SET name = 'Cafe' WHERE slug = 'cafe-0'",
            "UPDATE tags SET name = 'Cafe' WHERE slug = 'cafe-0'",
            "UPDATE products SET name = 'Cafe' WHERE id = 1",
        )
        alembic(url, "upgrade", "head")
        assert {row.username for row in sql(url, "SELECT username FROM users")} == {"boss", "admin", "chief", "johndoe"}


class TestWebhooks:
    BEFORE, REVISION = "5e83a1c70b94", "e63d21a8f835"
    ONE_TIME = NOW.split(", ")[0]

    @pytest.mark.parametrize("more", [0, 1_100], ids=["few", "many"])
    def test_notifications_stay_and_take_one_more_kind(self, url: str, more: int) -> None:
        """A table with many rows is changed by itself, one with few within the command's transaction."""
        alembic(url, "upgrade", self.BEFORE)
        put(url, User(username="boss", email="boss@example.com", hashed_password=""))
        (user,) = sql(url, "SELECT id FROM users")
        self.notify(url, *(1 + more) * [f"('credit_received', 'Here', {user.id}, {self.ONE_TIME})"])
        before = contents(url)["notifications"]

        for _ in range(2):
            alembic(url, "upgrade", self.REVISION)
            assert contents(url)["notifications"] == before
            self.notify(url, f"('webhook_disabled', 'Gone', {user.id}, {self.ONE_TIME})")
            with pytest.raises(Exception, match=r"(?i)check|constraint"):
                self.notify(url, f"('webhook_eaten', 'Gone', {user.id}, {self.ONE_TIME})")
            alembic(url, "downgrade", self.BEFORE)
            assert contents(url)["notifications"] == before
            with pytest.raises(Exception, match=r"(?i)check|constraint"):
                self.notify(url, f"('webhook_disabled', 'Gone', {user.id}, {self.ONE_TIME})")

    def test_events_are_delivered_from_the_upgrade_on(self, url: str) -> None:
        """And not from the first start of a new worker on: the old one goes on giving events their places meanwhile."""
        alembic(url, "upgrade", self.BEFORE)
        sql(url, f"INSERT INTO jobs (name, due_at, failures, position) VALUES ('relay', {self.ONE_TIME}, 0, 41)")
        for _ in range(2):
            alembic(url, "upgrade", self.REVISION)
            assert sql(url, "SELECT position FROM jobs WHERE name = 'webhooks'")[0][0] == 41
            alembic(url, "downgrade", self.BEFORE)
            assert [each.name for each in sql(url, "SELECT name FROM jobs")] == ["relay"]

    @staticmethod
    def notify(url: str, *rows: str) -> None:
        sql(url, f"INSERT INTO notifications (kind, message, user_id, created_at) VALUES {', '.join(rows)}")


class TestMails:
    BEFORE, REVISION = "e63d21a8f835", "e665c809d27e"
    ADD = "INSERT INTO attempts (kind, subject, window_start, count) VALUES"

    @pytest.mark.parametrize("more", [0, 1_100], ids=["few", "many"])
    def test_attempts_stay_and_are_counted_of_three_more_kinds(self, url: str, more: int) -> None:
        alembic(url, "upgrade", self.BEFORE)
        now = NOW.split(", ")[0]
        attempts = [f"('registrations_per_address', '{number}', {now}, 3)" for number in range(1 + more)]
        sql(url, f"{self.ADD} {', '.join(attempts)}")
        new = f"{self.ADD} ('password_resets_per_account', 'new', {now}, 1)"
        before = contents(url)["attempts"]

        for _ in range(2):
            alembic(url, "upgrade", self.REVISION)
            assert contents(url)["attempts"] == before
            sql(url, new)
            with pytest.raises(Exception, match=r"(?i)check|constraint"):
                sql(url, new.replace("password_resets_per_account", "advertisements"))
            alembic(url, "downgrade", self.BEFORE)
            assert contents(url)["attempts"] == before
            with pytest.raises(Exception, match=r"(?i)check|constraint"):
                sql(url, new)
