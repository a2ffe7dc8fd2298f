"""/payments and /orders/{id}/payments: who may pay and refund, and how payments are listed."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.payment import PaymentMethod
from api.models.user import User
from tests.factories import a_payment, a_refund, an_order
from tests.lists import walk
from tests.routes.payments.support import refund_payment
from tests.support import assert_refused, count_statements

ACCESS = """
                                                   nobody  owner  other  staff
GET    /orders/{id}/payments                          401    200    404    200
POST   /orders/{id}/payments  (store credit)          401    201    404    403
POST   /orders/{id}/payments  (card)                  401    403    404    201
GET    /payments                                      401    403    403    200
POST   /payments/{id}/refunds                         401    403    403    201
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /orders/{id}/payments (store credit)": {"json": {"amount": "5.00", "method": "store_credit"}},
    "POST /orders/{id}/payments (card)": {"json": {"amount": "5.00", "method": "card"}},
    "POST /payments/{id}/refunds": {"json": {"amount": "5.00", "reason": "Scratched"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


class TestListOrderPayments:
    async def test_the_owner_and_staff_see_payments_with_their_refunds(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        first, second = await a_payment(session, order, "40.00"), await a_payment(session, order, "60.00")
        for amount in ("1.00", "2.00"):
            await refund_payment(as_staff, second, amount)

        page = (await as_customer.get(f"/orders/{order.id}/payments")).json()

        assert page == (await as_staff.get(f"/orders/{order.id}/payments")).json()
        assert [item["id"] for item in page["items"]] == [first.id, second.id]
        assert [item["amount"] for item in page["items"]] == ["40.00", "60.00"]
        assert page["items"][0]["refunds"] == []
        assert [each["amount"] for each in page["items"][1]["refunds"]] == ["1.00", "2.00"]
        assert page["items"][1]["refunds"][0].keys() == {"id", "payment_id", "amount", "reason", "created_at"}
        assert page["items"][1]["refunded_amount"] == "3.00"

    async def test_payments_of_other_orders_are_left_out(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order, other = await an_order(session, customer), await an_order(session, customer)
        await a_payment(session, other, "40.00")

        assert (await as_customer.get(f"/orders/{order.id}/payments")).json()["items"] == []

    async def test_numbered_pages_and_cursor_pages_show_each_payment_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        ids = [(await a_payment(session, order, "1.00")).id for _ in range(5)]
        path = f"/orders/{order.id}/payments"

        pages = [(await as_customer.get(path, params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)]
        assert [item["id"] for page in pages for item in page["items"]] == ids
        assert {page["total"] for page in pages} == {5}

        seen = [row["id"] for row in await walk(as_customer, path, page_size=2)]
        assert seen == ids

    async def test_an_order_of_another_user_does_not_exist_for_a_customer(
        self, client: AsyncClient, as_other_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        assert_refused(await as_other_customer.get(f"/orders/{order.id}/payments"), 404)
        assert_refused(await as_other_customer.get("/orders/1000000/payments"), 404)
        assert_refused(await client.get(f"/orders/{order.id}/payments"), 401)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_takes_three_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        order = await an_order(session, customer)
        for _ in range(size):
            payment = await a_payment(session, order, "1.00")
            for _ in range(2):
                await a_refund(session, payment, "0.10")

        with count_statements(database) as statements:
            response = await as_customer.get(f"/orders/{order.id}/payments")
        assert len(response.json()["items"]) == size
        assert len(statements) == 3  # for the token, the order, the count, the payments and their refunds


class TestListPayments:
    async def test_staff_find_a_payment_by_its_reference(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        order = await an_order(session, total="300.00")
        by_card = await a_payment(session, order, "1.00", method=PaymentMethod.CARD, reference="ch_3M/tw+B é")
        by_bank = await a_payment(session, order, "2.00", method=PaymentMethod.BANK_TRANSFER, reference="ch_3M/tw+B é")
        await a_payment(session, order, "3.00", method=PaymentMethod.CARD, reference="CH_3M/TW+B É")
        await a_payment(session, order, "4.00", method=PaymentMethod.CASH)

        async def found(**query: str) -> list[int]:
            return [each["id"] for each in (await as_staff.get("/payments", params=query)).json()["items"]]

        assert await found(reference="ch_3M/tw+B é") == [by_bank.id, by_card.id]
        assert await found(reference="ch_3M/tw+B é", method="card") == [by_card.id]
        assert await found(reference="ch_3M") == []
        assert len(await found()) == 4
        assert len(await found(reference="", method="card")) == 2

    async def test_a_payment_shows_its_refunds(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        payment = await a_payment(session, await an_order(session), "5.00", reference="ch_1")
        refund = await a_refund(session, payment, "2.00")

        (listed,) = (await as_staff.get("/payments", params={"reference": "ch_1"})).json()["items"]

        assert [each["id"] for each in listed["refunds"]] == [refund.id]

    async def test_a_list_costs_one_statement_beside_the_token(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        await a_payment(session, await an_order(session), "5.00", reference="ch_1")

        with count_statements(database) as statements:
            await as_staff.get("/payments", params={"reference": "ch_1"})

        assert len(statements) == 2
