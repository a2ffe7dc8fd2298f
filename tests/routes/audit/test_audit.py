"""/audit: staff read who changed what."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.database.trail import Origin
from api.models.audit_entry import AuditEntry
from api.models.base import utcnow
from api.models.tag import Tag
from api.models.token import Token
from api.models.user import User
from tests.books import rows_of, stock_of
from tests.conftest import Connect
from tests.factories import (
    a_category,
    a_product,
    a_tag,
    a_token,
    a_user,
    an_account,
    an_audit_entry,
    an_order,
    order_body,
)
from tests.support import assert_refused

ACCESS = """
                              nobody  owner  other  staff
GET    /audit                    401    403    403    200
"""


async def entries_of(session: AsyncSession, entity: str) -> list[AuditEntry]:
    return [each for each in await rows_of(session, AuditEntry) if each.entity == entity]


class TestListAuditEntries:
    async def test_an_edit_says_who_changed_what_with_which_token_and_request(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="79.99")
        before = utcnow()

        edit = {"price": "69.99", "description": "Over-ear."}
        edited = await as_staff.patch(f"/products/{product.id}", json=edit, headers={"X-Request-ID": "edit-1"})

        assert edited.headers["X-Request-ID"] == "edit-1"
        listed = (await as_staff.get("/audit", params={"entity": "products", "row_id": product.id})).json()
        (entry,) = listed["items"]
        (token,) = await rows_of(session, Token)
        assert entry.pop("created_at") >= before.isoformat()[:19]
        assert entry == {
            "id": entry["id"],
            "action": "changed",
            "entity": "products",
            "row_id": product.id,
            "user_id": staff.id,
            "token_id": token.id,
            "command": None,
            "request_id": "edit-1",
            "changes": {"price": ["79.99", "69.99"], "description": [None, "Over-ear."]},
        }

    async def test_each_filter_finds_its_entries_the_newest_first(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        long_ago = utcnow() - timedelta(days=9)
        old = await an_audit_entry(session, created_at=long_ago, user_id=staff.id)
        tag = (await as_staff.post("/tags", json={"name": "Vinyl"})).json()["id"]
        await as_staff.patch(f"/tags/{tag}", json={"name": "Records"})

        async def found(**params: str | int) -> list[tuple[str, str]]:
            answer = await as_staff.get("/audit", params={**params, "cursor": ""})
            assert answer.status_code == 200, answer.text
            return [(each["entity"], each["action"]) for each in answer.json()["items"]]

        created, changed, of_product = ("tags", "created"), ("tags", "changed"), ("products", "created")
        assert await found() == [changed, created, of_product]
        assert await found(entity="tags") == [changed, created]
        assert await found(action="created") == [created, of_product]
        assert await found(row_id=old.row_id, entity="products") == [of_product]
        refused = await as_staff.get("/audit", params={"row_id": old.row_id})
        assert_refused(refused, 422, "query.row_id: must be sent together with entity")
        assert await found(user_id=staff.id) == [changed, created, of_product]
        assert await found(user_id=staff.id + 1) == []
        yesterday = (utcnow() - timedelta(days=1)).isoformat()
        assert await found(since=yesterday) == [changed, created]
        assert await found(until=yesterday) == [of_product]


class TestRequestId:
    @pytest.mark.parametrize("sent", ["abc", "x" * 128, "~!{}"])
    async def test_an_answer_has_the_id_that_its_request_was_sent_with(self, client: AsyncClient, sent: str) -> None:
        for path in ("/health", "/nowhere", "/orders"):
            assert (await client.get(path, headers={"X-Request-ID": sent})).headers["X-Request-ID"] == sent

    @pytest.mark.parametrize("sent", [None, "", "two words", "x" * 129, "caf\xe9".encode("latin-1")])
    async def test_a_request_without_an_id_that_can_be_kept_gets_a_new_one(
        self, client: AsyncClient, sent: str | bytes | None
    ) -> None:
        headers: dict[str, str | bytes] = {} if sent is None else {"X-Request-ID": sent}
        ids = {(await client.get("/health", headers=headers)).headers["X-Request-ID"] for _ in range(2)}  # type: ignore[arg-type]
        assert len(ids) == 2
        assert all(len(each) == 32 for each in ids)


class TestOneTransaction:
    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "refused"}], ids=["without a key", "with a key"])
    async def test_a_refused_payment_leaves_no_entry(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, headers: dict[str, str]
    ) -> None:
        """It is refused after the order's paid amount was changed, and recorded."""
        await an_account(session, customer, "1.00")
        order = await an_order(session, customer)
        payment = {"amount": "50.00", "method": "store_credit"}
        refused = await as_customer.post(f"/orders/{order.id}/payments", json=payment, headers=headers)
        assert_refused(refused, 409, "The balance is too low")
        assert await rows_of(session, AuditEntry) == []

    async def test_a_request_that_is_sent_again_adds_no_entry(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        body, key = order_body((await a_product(session, stock_quantity=5), 1)), {"Idempotency-Key": "once"}
        for _ in range(3):
            assert (await as_customer.post("/orders", json=body, headers=key)).status_code == 201
        entries = await rows_of(session, AuditEntry)
        assert sorted((each.entity, each.action) for each in entries) == [
            ("orders", "created"),
            ("products", "changed"),
        ]
        assert len({each.request_id for each in entries}) == 1

    async def test_what_a_savepoint_undid_has_no_entry(self, database: Database, session: AsyncSession) -> None:
        async with database.transaction(Origin(user_id=7)) as write:
            write.add(Tag(name="Kept", slug="kept"))
            savepoint = await write.begin_nested()
            write.add(Tag(name="Undone", slug="undone"))
            await write.flush()
            await savepoint.rollback()
            write.add(Tag(name="Kept too", slug="kept-too"))
        entries = await rows_of(session, AuditEntry)
        assert [(each.user_id, each.changes["slug"]) for each in entries] == [
            (7, [None, "kept"]),
            (7, [None, "kept-too"]),
        ]

    async def test_a_failed_transaction_leaves_no_entry(self, database: Database, session: AsyncSession) -> None:
        async def fail() -> None:
            async with database.transaction() as write:
                write.add(Tag(name="Undone", slug="undone"))
                await write.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await rows_of(session, AuditEntry) == []

    async def test_more_entries_than_wait_at_once_are_all_written(
        self, database: Database, session: AsyncSession
    ) -> None:
        async with database.transaction() as write:
            for part in range(3):
                write.add_all(Tag(name=f"{part}-{n}", slug=f"{part}-{n}") for n in range(700))
                await write.flush()
        entries = await rows_of(session, AuditEntry)
        assert [each.row_id for each in entries] == [each.id for each in await rows_of(session, Tag)]
        assert len(entries) == 2_100


class TestChain:
    async def test_the_entries_of_a_stock_that_fifty_orders_take_from_at_once_follow_each_other(
        self, connect: Connect, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=60)
        clients = [await connect(await a_user(session)) for _ in range(10)]
        body = order_body((product, 1))

        answers = await asyncio.gather(*(client.post("/orders", json=body) for client in clients for _ in range(5)))

        placed = [answer for answer in answers if answer.status_code == 201]
        assert len(placed) >= 40
        stocks = [each.changes["stock_quantity"] for each in await entries_of(session, "products")]
        assert stocks == [[60 - n, 59 - n] for n in range(len(placed))]
        assert await stock_of(session, product) == 60 - len(placed)

    async def test_the_entries_of_rows_that_many_edit_at_once_follow_each_other(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """A category is not locked when it is loaded, so what a request has read may be out of date."""
        rows: dict[str, Any] = {"categories": await a_category(session, "0"), "tags": await a_tag(session, "0")}
        for entity, row in rows.items():
            edits = (as_staff.patch(f"/{entity}/{row.id}", json={"name": f"{n}"}) for n in range(1, 9))
            assert {answer.status_code for answer in await asyncio.gather(*edits)} == {200}
            names = [each.changes["name"] for each in await entries_of(session, entity)]
            assert [before for before, _ in names] == ["0", *(after for _, after in names[:-1])]
            await session.refresh(row)
            assert names[-1][1] == row.name

    async def test_the_entries_of_balances_that_many_transfers_change_at_once_follow_each_other(
        self, connect: Connect, session: AsyncSession
    ) -> None:
        users = [await a_user(session) for _ in range(3)]
        accounts = [await an_account(session, user, "100.00") for user in users]
        clients = [await connect(user) for user in users]

        def transfer(n: int) -> dict[str, object]:
            return {"to_account_id": accounts[(n + 1) % 3].id, "amount": f"{n + 1}.00"}

        sent = (clients[n % 3].post("/accounts/transfers", json=transfer(n)) for n in range(12))
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {201}
        for account in accounts:
            entries = await entries_of(session, "accounts")
            balances = [each.changes["balance"] for each in entries if each.row_id == account.id]
            assert [before for before, _ in balances] == ["100.00", *(after for _, after in balances[:-1])]
            await session.refresh(account)
            assert balances[-1][1] == str(account.balance)


class TestForeignKeys:
    async def test_products_of_a_deleted_category_have_entries(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        products = [await a_product(session, category=category) for _ in range(3)]
        assert (await as_staff.delete(f"/categories/{category.id}")).status_code == 204
        entries = await entries_of(session, "products")
        assert [(each.row_id, each.changes) for each in entries] == [
            (product.id, {"category_id": [category.id, None]}) for product in products
        ]
        assert {(each.user_id, each.action) for each in entries} == {(staff.id, "changed")}

    async def test_what_goes_with_an_erased_user_has_entries_without_a_text(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await as_staff.post("/tags", json={"name": "Reviews"})
        post = {"title": "Ermintrude sings", "content": "In the meadow.", "tags": ["reviews"]}
        assert (await as_customer.post("/posts", json=post)).status_code == 201
        assert (await as_customer.get("/accounts/me")).status_code == 200
        assert (await as_customer.patch("/users/me", json={"bio": "Ermintrude"})).status_code == 200

        assert (await as_staff.delete(f"/users/{customer.id}")).status_code == 204

        entries = await rows_of(session, AuditEntry)
        gone = sorted(each.entity for each in entries if each.action == "deleted")
        assert gone == ["accounts", "post_tags", "posts", "tokens", "users"]
        everything = json.dumps([each.model_dump(mode="json") for each in entries])
        for personal in ("Ermintrude", "meadow", customer.username, customer.email, customer.hashed_password):
            assert personal not in everything
        (changed,) = (each for each in entries if each.entity == "users" and each.action == "changed")
        assert changed.changes == {"bio": None}


async def test_long_texts_are_kept_as_their_length_and_hash(as_staff: AsyncClient, session: AsyncSession) -> None:
    product = await a_product(session)
    assert (await as_staff.patch(f"/products/{product.id}", json={"description": "x" * 501})).status_code == 200
    (entry,) = await rows_of(session, AuditEntry)
    before, after = entry.changes["description"]
    assert before is None
    assert after == {"length": 501, "sha256": after["sha256"]}
    assert len(after["sha256"]) == 64


async def test_setting_what_a_row_has_already_leaves_no_entry(as_staff: AsyncClient, session: AsyncSession) -> None:
    product = await a_product(session, "Same", await a_category(session))
    same: dict[str, Any] = {"name": "Same", "price": "9.99", "category_id": product.category_id, "attributes": {}}
    assert (await as_staff.patch(f"/products/{product.id}", json=same)).status_code == 200
    assert await rows_of(session, AuditEntry) == []


async def test_each_user_of_a_bulk_change_has_an_entry(
    as_staff: AsyncClient, staff: User, session: AsyncSession
) -> None:
    long_ago = utcnow() - timedelta(days=31)
    idle = [await a_user(session, created_at=long_ago) for _ in range(3)]
    secret, token = await a_token(session, idle[0], created_at=long_ago, last_used_at=long_ago)

    assert (await as_staff.patch("/users/bulk/deactivate?days=30")).json() == {"changed": 3}

    deactivated = [(each.row_id, each.changes) for each in await entries_of(session, "users")]
    assert deactivated == [(user.id, {"is_active": [True, False]}) for user in idle]
    (revoked,) = await entries_of(session, "tokens")
    assert (revoked.action, revoked.row_id, revoked.user_id) == ("deleted", token.id, staff.id)
    assert secret not in json.dumps(revoked.changes)
