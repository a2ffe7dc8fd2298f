"""Whatever can be stored can be read back by its path, as a person types it."""

from urllib.parse import quote

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.order import new_order_number, stored_order_number
from api.models.user import User
from tests.factories import a_category, an_order
from tests.support import PASSWORD, assert_refused

EMAILS = [
    "a/b@example.com",
    "x/./y@example.com",
    "/@example.com",
    "a//b/c/d@example.com",
    "100%@example.com",
    "a%2Fb@example.com",
    "a+b@example.com",
    "o'hara@example.com",
    "a?b=c&d@example.com",
    "a#b@example.com",
    "a.b.c@example.com",
    "{id}@example.com",
    "jörg@example.com",
    "用户@example.com",
    "me@example.com",
    "with-posts@example.com",
]


class TestEmail:
    @pytest.mark.parametrize("email", EMAILS)
    async def test_a_user_is_found_by_the_address_that_was_registered(self, as_staff: AsyncClient, email: str) -> None:
        body = {"username": "somebody", "email": email, "password": PASSWORD}
        registered = await as_staff.post("/users", json=body)
        assert registered.status_code == 201, registered.text

        found = await as_staff.get(f"/users/by-email/{quote(registered.json()['email'], safe='')}")

        assert found.status_code == 200, found.text
        assert found.json()["id"] == registered.json()["id"]

    async def test_an_address_with_a_slash_has_the_methods_of_its_route_alone(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.delete("/users/by-email/a%2Fb%40example.com")

        assert_refused(refused, 405)
        assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


class TestOrderNumber:
    @pytest.mark.parametrize(
        "typed",
        [
            "ORD-7K2M-9QX0-T1BV",
            "ord-7k2m-9qx0-t1bv",
            " ORD-7K2M-9QX0-T1BV ",
            "7K2M-9QX0-T1BV",
            "7k2m9qx0t1bv",
            "ORD 7K2M 9QX0 T1BV",
            "ORD-7K2M-9QXO-TIBV",
            "ord-7k2m-9qxo-tlbv",
        ],
    )
    async def test_an_order_is_found_by_its_number_as_a_person_types_it(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession, typed: str
    ) -> None:
        order = await an_order(session, customer, order_number="ORD-7K2M-9QX0-T1BV")

        found = await as_customer.get(f"/orders/by-number/{quote(typed, safe='')}")

        assert found.status_code == 200, found.text
        assert found.json() == (await as_customer.get(f"/orders/{order.id}")).json()
        assert (await as_staff.get(f"/orders/by-number/{quote(typed, safe='')}")).json() == found.json()

    async def test_the_order_of_another_customer_is_not_found(
        self, as_other_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        refused = await as_other_customer.get(f"/orders/by-number/{order.order_number}")

        assert_refused(refused, 404, "There is no such order.")
        assert_refused(await client.get(f"/orders/by-number/{order.order_number}"), 401)

    @pytest.mark.parametrize("number", ["ORD-0000-0000-0000", "x", "%C3%9F", "-", "%E2%84%AA" * 12, "." * 12])
    async def test_an_unknown_number_is_not_found(self, as_staff: AsyncClient, number: str) -> None:
        assert_refused(await as_staff.get(f"/orders/by-number/{number}"), 404)

    def test_every_new_number_is_read_as_it_is_stored(self) -> None:
        for _ in range(1_000):
            number = new_order_number()
            assert stored_order_number(number) == stored_order_number(number.lower()) == number


class TestSlug:
    async def test_a_category_is_found_by_its_slug(self, client: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, slug="home-audio")

        found = await client.get("/categories/by-slug/home-audio")

        assert found.json() == (await client.get(f"/categories/{category.id}")).json()
        assert_refused(await client.get("/categories/by-slug/no-such"), 404, "There is no such category.")
