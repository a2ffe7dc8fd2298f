"""Erasing users: the person is forgotten, the books are kept, whatever else happens at the same time."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.post import Post
from api.models.user import User
from api.rules import ledger
from tests.databases import Backend
from tests.factories import a_user, an_account, an_order, an_order_event
from tests.rules.users import assert_anonymised, count_belongings, count_rows, give_belongings, stored_user
from tests.support import assert_refused, until_waiting


class TestErase:
    @pytest.mark.parametrize("books", ["order", "credit"])
    async def test_a_user_with_orders_or_credit_is_anonymised(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, books: str
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})
        await give_belongings(session, customer)
        await (an_order(session, customer) if books == "order" else an_account(session, customer, "5.00"))

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204

        assert_anonymised(await stored_user(session, customer.id))
        assert await count_belongings(session, customer) == [0, 0, 0, 0]
        assert_refused(await as_customer.get("/users/me"), 401)

    async def test_a_user_whose_account_has_no_transactions_is_deleted(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204
        assert await session.get(User, customer.id) is None
        assert await session.get(Account, account.id) is None

    async def test_the_order_events_of_an_erased_staff_user_stay(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        employee = await a_user(session, is_superuser=True)
        order = await an_order(session, customer)
        event = await an_order_event(session, order, user_id=employee.id)

        assert (await as_staff.delete(f"/users/{employee.id}")).status_code == 204

        kept = await session.get(OrderEvent, event.id)
        assert kept is not None, "the order event is gone"
        assert kept.user_id is None

    async def test_a_user_who_orders_during_the_erasure_is_anonymised_or_kept(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        async def order(user: User) -> None:
            async with database.writes() as writing, writing.begin():
                found = select(User.id).where(User.id == user.id, col(User.is_active)).with_for_update(read=True)
                if (await writing.exec(found)).first() is not None:
                    writing.add(Order(user_id=user.id, total_amount=Decimal("1.00")))

        for _ in range(10):
            user = await a_user(session)
            deleted, _ = await asyncio.gather(as_staff.delete(f"/users/{user.id}"), order(user))
            assert deleted.status_code in {204, 409}
            if await count_rows(session, Order, Order.user_id == user.id) and deleted.status_code == 204:
                assert_anonymised(await stored_user(session, user.id))


class TestEraseInactive:
    async def test_inactive_users_without_books_are_deleted(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        plain = await a_user(session, is_active=False)
        with_account = await a_user(session, is_active=False)
        account = await an_account(session, with_account)
        await give_belongings(session, plain)

        response = await as_staff.delete("/users/bulk/inactive")

        assert response.json() == {"changed": 2}
        assert [await session.get(User, user.id) for user in (plain, with_account)] == [None, None]
        assert await session.get(Account, account.id) is None
        assert await count_belongings(session, plain) == [0, 0, 0, 0]

    async def test_inactive_users_with_orders_or_money_are_anonymised(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        known: dict[str, Any] = {
            "is_active": False,
            "full_name": "Ann Other",
            "bio": "Hello.",
            "last_login_at": utcnow(),
        }
        buyer, saver = await a_user(session, **known), await a_user(session, **known)
        order = await an_order(session, buyer)
        account = await an_account(session, saver, "5.00")
        for user in (buyer, saver):
            await give_belongings(session, user)

        response = await as_staff.delete("/users/bulk/inactive")

        assert response.json() == {"changed": 2}
        for user in (buyer, saver):
            assert_anonymised(await stored_user(session, user.id))
            assert await count_belongings(session, user) == [0, 0, 0, 0]
        assert await session.get(Order, order.id) is not None
        assert await session.get(Account, account.id) is not None
        details = (await as_staff.get(f"/orders/{order.id}/details")).json()
        assert details["user"] == {"id": buyer.id, "username": f"erased-{buyer.id}"}

    @pytest.mark.parametrize("with_books", [True, False], ids=["with books", "without books"])
    async def test_a_user_who_is_activated_during_the_erasure_keeps_everything_or_is_erased(
        self, as_staff: AsyncClient, session: AsyncSession, with_books: bool
    ) -> None:
        """The user is active with all belongings, or erased; never active without belongings."""
        for _ in range(8):
            user = await a_user(session, is_active=False)
            await give_belongings(session, user)
            if with_books:
                await an_order(session, user)

            erased, patched = await asyncio.gather(
                as_staff.delete("/users/bulk/inactive"), as_staff.patch(f"/users/{user.id}", json={"is_active": True})
            )

            assert erased.status_code == 200
            assert patched.status_code in {200, 404}
            await self.assert_whole_or_erased(session, user, patched)

    async def test_an_activation_waits_for_an_erasure_in_progress(
        self, backend: Backend, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        """The erasure cannot go on, because another transaction holds a lock on one of the rows."""
        if backend.name == "sqlite":
            pytest.skip("SQLite has one writer at a time, so nothing can happen during the erasure")
        user, other = await a_user(session, is_active=False), await a_user(session, is_active=False)
        for each in (user, other):
            await give_belongings(session, each)
        async with asyncio.TaskGroup() as tasks, database.writes() as holding, holding.begin():
            await holding.exec(select(Post.id).where(Post.author_id == other.id).with_for_update())
            erasing = tasks.create_task(as_staff.delete("/users/bulk/inactive"))
            await until_waiting(session)
            patching = tasks.create_task(as_staff.patch(f"/users/{user.id}", json={"is_active": True}))
            await until_waiting(session, 2)
            assert not erasing.done(), f"the erasure did not wait: {erasing.result().text}"

        assert erasing.result().json() == {"changed": 2}
        assert patching.result().status_code == 404
        await self.assert_whole_or_erased(session, user, patching.result())

    async def assert_whole_or_erased(self, session: AsyncSession, user: User, patched: httpx.Response) -> None:
        after = await session.get(User, user.id)
        if patched.status_code == 200:
            assert after is not None
            assert (after.is_active, after.erased_at) == (True, None)
            assert await count_belongings(session, user) == [1, 1, 1, 1]
        else:
            assert after is None or after.erased_at is not None
            assert await count_belongings(session, user) == [0, 0, 0, 0]


class TestSimultaneousDeposit:
    @pytest.mark.parametrize("bulk", [False, True], ids=["one user", "all inactive users"])
    async def test_an_erasure_waits_for_a_deposit_in_progress(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, bulk: bool
    ) -> None:
        user = await a_user(session, is_active=not bulk)
        account = await an_account(session, user)
        async with asyncio.TaskGroup() as tasks, database.writes() as depositing, depositing.begin():
            issued = await ledger.shop_account_id(depositing, ShopAccount.ISSUED)
            await ledger.post(depositing, issued, account.id, Decimal("5.00"))
            path = "/users/bulk/inactive" if bulk else f"/users/{user.id}"
            erasing = tasks.create_task(as_staff.delete(path))
            await asyncio.sleep(0.3)
            assert not erasing.done(), f"the erasure did not wait: {erasing.result().text}"

        assert erasing.result().status_code == (200 if bulk else 204), erasing.result().text
        assert_anonymised(await stored_user(session, user.id))
        assert await verify(database)

    async def test_a_deposit_that_waits_for_an_erasure_is_refused(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        if database.engine.dialect.name == "sqlite":
            pytest.skip("SQLite has one writer at a time, so nothing can be erased while a deposit waits")
        user = await a_user(session)
        await an_order(session, user)
        account = await an_account(session, user)
        async with asyncio.TaskGroup() as tasks, database.writes() as holding, holding.begin():
            issued = await ledger.shop_account_id(holding, ShopAccount.ISSUED)
            await holding.exec(select(Account).where(Account.id == issued).with_for_update())
            sent = as_staff.post(f"/accounts/{account.id}/deposits", json={"amount": "5.00"})
            depositing = tasks.create_task(sent)
            await until_waiting(session)  # the deposit has found the account, and waits for the account that pays
            assert (await as_staff.delete(f"/users/{user.id}")).status_code == 204

        assert depositing.result().status_code == 409, depositing.result().text
        assert (await session.exec(select(col(Account.balance)).where(Account.id == account.id))).one() == 0

    @pytest.mark.parametrize("bulk", [False, True], ids=["one user", "all inactive users"])
    async def test_a_deposit_during_an_erasure_is_refused_or_the_user_is_anonymised(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, bulk: bool
    ) -> None:
        for _ in range(8):
            user = await a_user(session, is_active=not bulk)
            account = await an_account(session, user)

            erased, deposited = await asyncio.gather(
                as_staff.delete("/users/bulk/inactive" if bulk else f"/users/{user.id}"),
                as_staff.post(f"/accounts/{account.id}/deposits", json={"amount": "5.00"}),
            )

            assert erased.status_code == (200 if bulk else 204), erased.text
            after = await session.get(User, user.id)
            if deposited.status_code == 201:
                assert after is not None
                assert_anonymised(after)
            else:
                assert deposited.status_code in {404, 422}, deposited.text
                assert after is None
        assert await verify(database)
