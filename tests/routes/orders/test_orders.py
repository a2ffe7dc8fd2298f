"""/orders: who may do what with orders, and how they are listed and read."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.order import OrderStatus
from api.models.types import MAX_ID
from api.models.user import User
from tests import world
from tests.factories import a_product, an_order
from tests.lists import walk
from tests.routes.orders.support import STATUSES, place_order, set_status
from tests.support import assert_refused, count_statements, said

ACCESS = """
                                                   nobody  owner  other  staff
POST   /orders                                        401    201    201    201
POST   /orders  (for the owner)                       401    201    403    201
GET    /orders                                        401    200    200    200
GET    /orders/stats/summary                          401    403    403    200
GET    /orders/user/{user_id}                         401    200    404    200
GET    /orders/by-number/{order_number}               401    200    404    200
GET    /orders/{id}                                   401    200    404    200
GET    /orders/{id}/details                           401    200    404    200
PATCH  /orders/{id}/status                            401    403    404    200
POST   /orders/{id}/cancel                            401    200    404    200
GET    /orders/{id}/events                            401    200    404    200
"""

LINES = [{"product_id": world.PRODUCT, "quantity": 1}]

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /orders": {"json": {"items": LINES}},
    "POST /orders (for the owner)": {"json": {"items": LINES, "user_id": world.OWNER}},
    "PATCH /orders/{id}/status": {"params": {"new_status": "confirmed"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""

PATHS_TO_READ = ["/orders/{}", "/orders/{}/details", "/orders/{}/events"]


class TestListOrders:
    async def test_a_customer_sees_only_their_own_orders_and_staff_see_all(
        self, as_customer: AsyncClient, as_other_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        first = await place_order(as_customer, (product, 1))
        second = await place_order(as_other_customer, (product, 2))
        third = await place_order(as_customer, (product, 3))

        async def listed(client: AsyncClient) -> Any:
            page = (await client.get("/orders")).json()
            assert page["total"] == len(page["items"])
            return page["items"]

        assert await listed(as_customer) == [third, first]
        assert await listed(as_other_customer) == [second]
        assert await listed(as_staff) == [third, second, first]

    async def test_the_list_is_empty_before_the_first_order(self, as_customer: AsyncClient) -> None:
        assert (await as_customer.get("/orders")).json()["items"] == []

    async def test_an_anonymous_request_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/orders"), 401)

    async def test_orders_are_filtered_by_status(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order_of = {}
        for status in STATUSES:
            order_of[status] = (await an_order(session, customer, (product, 1), status=OrderStatus(status))).id

        for status in STATUSES:
            page = (await as_customer.get("/orders", params={"status": status})).json()
            assert [(item["id"], item["status"]) for item in page["items"]] == [(order_of[status], status)]

    @pytest.mark.parametrize("status", ["paid", "PENDING", "a\0b"])
    async def test_an_unknown_status_is_refused(self, as_customer: AsyncClient, status: str) -> None:
        assert_refused(await as_customer.get("/orders", params={"status": status}), 422, "query.status")

    @pytest.mark.parametrize("path", ["/orders", "/orders/user/{}"])
    async def test_cursor_pages_show_each_order_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, path: str
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        placed = [(await an_order(session, customer, (product, 1))).id for _ in range(7)]
        seen = [row["id"] for row in await walk(as_customer, path.format(customer.id), page_size=3)]

        assert seen == placed[::-1]

    @pytest.mark.parametrize("path", ["/orders", "/orders/user/{}"])
    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_takes_two_statements_whatever_its_size(
        self,
        as_customer: AsyncClient,
        customer: User,
        session: AsyncSession,
        database: Database,
        path: str,
        size: int,
    ) -> None:
        products = [await a_product(session, stock_quantity=100) for _ in range(3)]
        for _ in range(size):
            await an_order(session, customer, *((product, 1) for product in products))

        with count_statements(database) as statements:
            page = (await as_customer.get(path.format(customer.id))).json()
        assert [len(item["items"]) for item in page["items"]] == [3] * size
        assert len(statements) == 2  # for the token, the count, the orders and the lines


class TestListUserOrders:
    async def test_a_customer_and_staff_list_the_orders_of_the_customer(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 1))
        await place_order(as_other_customer, (product, 1))

        for client in (as_customer, as_staff):
            page = (await client.get(f"/orders/user/{customer.id}")).json()
            assert (page["items"], page["total"]) == ([order], 1)

    async def test_the_orders_of_another_user_do_not_exist_for_a_customer(
        self, client: AsyncClient, as_other_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.get(f"/orders/user/{customer.id}"), 401)
        for user_id in (customer.id, 1_000_000):
            assert_refused(await as_other_customer.get(f"/orders/user/{user_id}"), 404, "no such user")

    async def test_a_user_who_does_not_exist_is_not_found_by_staff(self, as_staff: AsyncClient) -> None:
        for user_id in (1_000_000, MAX_ID):
            assert_refused(await as_staff.get(f"/orders/user/{user_id}"), 404, "no such user")

    async def test_the_list_of_a_user_without_orders_is_empty(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.get(f"/orders/user/{customer.id}")).json()["items"] == []

    @pytest.mark.parametrize("user_id", [0, -1, MAX_ID + 1, "me"])
    async def test_an_invalid_user_id_is_refused(self, as_staff: AsyncClient, user_id: Any) -> None:
        assert_refused(await as_staff.get(f"/orders/user/{user_id}"), 422, "path.user_id")


class TestReadOrder:
    @pytest.mark.parametrize("path", PATHS_TO_READ)
    async def test_the_owner_and_staff_read_the_same_order(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession, path: str
    ) -> None:
        order = await an_order(session, customer)

        owner, staff = [await client.get(path.format(order.id)) for client in (as_customer, as_staff)]

        assert (owner.status_code, staff.status_code) == (200, 200)
        assert owner.json() == staff.json()

    @pytest.mark.parametrize("path", PATHS_TO_READ)
    async def test_an_order_of_another_user_does_not_exist_for_a_customer(
        self, client: AsyncClient, as_other_customer: AsyncClient, customer: User, session: AsyncSession, path: str
    ) -> None:
        order = await an_order(session, customer)

        assert_refused(await client.get(path.format(order.id)), 401)
        of_another_user = await as_other_customer.get(path.format(order.id))
        unknown = await as_other_customer.get(path.format(1_000_000))
        assert_refused(of_another_user, 404, "no such order")
        assert said(of_another_user) == said(unknown)

    @pytest.mark.parametrize("path", PATHS_TO_READ)
    @pytest.mark.parametrize(("order_id", "status"), [(MAX_ID, 404), (0, 422), (MAX_ID + 1, 422), ("one", 422)])
    async def test_an_invalid_or_unknown_order_id_is_refused(
        self, as_staff: AsyncClient, path: str, order_id: Any, status: int
    ) -> None:
        assert_refused(await as_staff.get(path.format(order_id)), status)

    @pytest.mark.parametrize("path", ["/orders/{}", "/orders/{}/details"])
    @pytest.mark.parametrize("size", [1, 20])
    async def test_an_order_takes_two_statements_whatever_its_size(
        self,
        as_customer: AsyncClient,
        customer: User,
        session: AsyncSession,
        database: Database,
        path: str,
        size: int,
    ) -> None:
        products = [await a_product(session, stock_quantity=1) for _ in range(size)]
        order = await an_order(session, customer, *((product, 1) for product in products))

        with count_statements(database) as statements:
            read = (await as_customer.get(path.format(order.id))).json()
        assert len(read["items"]) == size
        assert len(statements) == 2  # for the token, the order (with its user) and the lines (with their products)


class TestReadOrderDetails:
    async def test_the_details_hold_the_user_and_the_products_of_an_order(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first = await a_product(session, stock_quantity=5)
        second = await a_product(session, stock_quantity=5)
        order = await place_order(as_customer, (first, 1), (second, 2))

        details = (await as_customer.get(f"/orders/{order['id']}/details")).json()

        assert details["user"] == {"id": customer.id, "username": "customer"}
        quantities = [(item["product"]["id"], item["quantity"]) for item in details["items"]]
        assert quantities == [(first.id, 1), (second.id, 2)]
        assert [item["product"]["stock_quantity"] for item in details["items"]] == [4, 3]
        for item in details["items"]:
            del item["product"]
        del details["user"]
        assert details == order


class TestListOrderEvents:
    async def test_each_status_has_an_event_and_the_oldest_event_comes_first(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        staff: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 1))
        await set_status(as_staff, order["id"], "confirmed")
        await set_status(as_staff, order["id"], "delivered")
        await as_customer.post(f"/orders/{order['id']}/cancel")
        await place_order(as_customer, (product, 1))

        page = (await as_customer.get(f"/orders/{order['id']}/events")).json()

        assert [(each["from_status"], each["to_status"], each["user_id"]) for each in page["items"]] == [
            (None, "pending", customer.id),
            ("pending", "confirmed", staff.id),
            ("confirmed", "cancelled", customer.id),
        ]
        assert {each["order_id"] for each in page["items"]} == {order["id"]}

    @pytest.mark.parametrize("size", [1, 4])
    async def test_a_list_takes_three_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        status = OrderStatus.DELIVERED if size == 4 else OrderStatus.PENDING
        order = await an_order(session, customer, status=status)

        with count_statements(database) as statements:
            page = (await as_customer.get(f"/orders/{order.id}/events")).json()
        assert len(page["items"]) == size
        assert len(statements) == 3  # for the token, the order, the count and the events
