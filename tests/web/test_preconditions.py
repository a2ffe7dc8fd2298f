"""Preconditions: what they guard, how their headers are read, and how they go with idempotency keys.

That each route takes them or refuses them: `tests/house/test_preconditions.py`.
"""

import asyncio
from hashlib import sha256
from time import monotonic
from typing import Annotated

import pytest
from fastapi import Depends
from fastapi.routing import APIRoute
from httpx import AsyncClient, Response
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import CurrentUser
from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order, OrderCreate, StoredOrder
from api.models.payment import PaymentRead
from api.models.product import Product, ProductRead, ProductUpdate
from api.models.user import User
from api.web.preconditions import NO_SINGLE_ROW, ONLY_EDITS, Preconditions
from tests.books import assert_stock_equals_movements
from tests.factories import a_category, a_product, a_tag, an_order, order_body
from tests.support import assert_refused
from tests.web.support import new_router

MALFORMED = [
    *("", "x", "3-abc", '"', '"a', 'a"', '"a" "b"', '"a"b', '*, "a"', '"a", *', "**", 'w/"a"', 'W/ "a"', 'W/"a', "W/*"),
    *(",", ", ,", '"a b"', '"a"; "b"', "'a'"),
]
PRESENT = ["{0}", '"x", {0}', '{0},"x"', ',, "x" ,\t, {0} , ,', '"a,b", {0}', 'W/"x", {0}', '"",{0}']
"""Lists that hold an ETag, as RFC 9110 allows them to be written."""


class TestWhatIsGuarded:
    async def test_a_sale_between_opening_and_saving_neither_refuses_the_edit_nor_is_undone(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=50)
        path = f"/products/{product.id}"
        opened = await as_staff.get(path)
        form = {name: opened.json()[name] for name in ("name", "sku", "price", "attributes", "category_id")}
        sold = await as_customer.post("/orders", json=order_body((product, 3)))
        assert sold.status_code == 201
        movement = {"delta": -7, "reason": "Broken"}
        assert (await as_staff.post(f"{path}/stock", json=movement)).status_code == 201

        tag = {"If-Match": opened.headers["ETag"]}
        saved = await as_staff.put(path, json={**form, "description": "Thirty hours."}, headers=tag)

        assert saved.status_code == 200, saved.text
        assert (saved.json()["description"], saved.json()["stock_quantity"]) == ("Thirty hours.", 40)
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.description, stored.stock_quantity, stored.version) == ("Thirty hours.", 40, 2)
        await assert_stock_equals_movements(session)
        assert_refused(await as_staff.put(path, json=form, headers=tag), 412)

    async def test_a_sale_is_seen_by_whoever_reads_again(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        """A 304 hides no sale, although the version is the same."""
        product = await a_product(session, stock_quantity=50)
        path = f"/products/{product.id}"
        before = await client.get(path)
        await an_order(session, customer, (product, 3))

        after = await client.get(path, headers={"If-None-Match": before.headers["ETag"]})

        assert after.status_code == 200
        assert after.json()["stock_quantity"] == 47
        assert after.headers["ETag"] != before.headers["ETag"]
        assert _version(after) == _version(before) == "1"

    async def test_a_product_that_sells_all_the_time_can_be_edited(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=1_000)
        path, sold = f"/products/{product.id}", 0
        stop = asyncio.Event()

        async def sell() -> None:
            nonlocal sold
            while not stop.is_set():
                assert (await as_customer.post("/orders", json=order_body((product, 1)))).status_code == 201
                sold += 1

        selling = asyncio.create_task(sell())
        while not sold:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        tag = (await as_staff.get(path)).headers["ETag"]
        for number in range(10):
            saved = await as_staff.patch(path, json={"description": f"No. {number}"}, headers={"If-Match": tag})
            assert saved.status_code == 200, saved.text
            tag = saved.headers["ETag"]
        stop.set()
        await selling

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.description, stored.version, stored.stock_quantity) == ("No. 9", 11, 1_000 - sold)
        await assert_stock_equals_movements(session)

    async def test_an_order_that_was_paid_meanwhile_is_not_cancelled_unknowingly(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00", stock_quantity=5)
        order = await an_order(session, customer, (product, 1))
        path = f"/orders/{order.id}"
        tag = (await as_staff.get(path)).headers["ETag"]
        paid = await as_staff.post(f"{path}/payments", json={"method": "card", "amount": "10.00"})
        assert paid.status_code == 201

        cancel = {"new_status": "cancelled"}
        refused = await as_staff.patch(f"{path}/status", params=cancel, headers={"If-Match": tag})

        assert_refused(refused, 412)
        stored = await session.get(Order, order.id)
        assert stored is not None
        assert stored.status == "confirmed"
        present = {"If-Match": (await as_staff.get(path)).headers["ETag"]}
        assert (await as_staff.patch(f"{path}/status", params=cancel, headers=present)).status_code == 200

    async def test_every_representation_of_a_row_has_the_version_that_an_edit_needs(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, category=await a_category(session))
        await as_staff.patch(f"/products/{product.id}", json={"name": "Radio"})
        for path in (f"/products/{product.id}", f"/products/by-sku/{product.sku}", f"/products/by-slug/{product.slug}"):
            assert _version(await as_staff.get(path)) == "2"


class TestTwoEditors:
    @pytest.mark.parametrize("moved", [False, True], ids=["in place", "moved"])
    async def test_of_two_editors_of_a_category_one_reads_again(
        self, as_staff: AsyncClient, session: AsyncSession, moved: bool
    ) -> None:
        """A category is loaded before the tree is locked: its UPDATE compares the version."""
        parents = [await a_category(session) for _ in range(8)]
        category = await a_category(session)
        path = f"/categories/{category.id}"
        tag = {"If-Match": (await as_staff.get(path)).headers["ETag"]}

        async def edit(number: int) -> Response:
            body = {"description": f"No. {number}"} | ({"parent_id": parents[number].id} if moved else {})
            return await as_staff.patch(path, json=body, headers=tag)

        answers = await asyncio.gather(*map(edit, range(8)))

        (won,) = [each for each in answers if each.status_code == 200]
        assert {each.status_code for each in answers} == {200, 412}
        stored = (await as_staff.get(path)).json()
        assert stored == won.json()

    async def test_editors_without_a_precondition_overwrite_no_other_field(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        path = f"/categories/{category.id}"
        edits = [{"name": "Sound"}, {"description": "Loud."}, {"slug": "loud"}]

        answers = await asyncio.gather(*(as_staff.patch(path, json=each) for each in edits))

        assert [each.status_code for each in answers] == [200] * 3
        stored = (await as_staff.get(path)).json()
        assert (stored["name"], stored["description"], stored["slug"]) == ("Sound", "Loud.", "loud")

    async def test_a_category_that_was_edited_meanwhile_is_not_deleted(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(5):
            category = await a_category(session)
            path = f"/categories/{category.id}"
            tag = {"If-Match": (await as_staff.get(path)).headers["ETag"]}
            edited, deleted = await asyncio.gather(
                as_staff.patch(path, json={"description": "Kept."}, headers=tag), as_staff.delete(path, headers=tag)
            )
            assert (edited.status_code, deleted.status_code) in {(200, 412), (404, 204)}


class TestHeaders:
    @pytest.mark.parametrize("header", MALFORMED)
    async def test_a_malformed_header_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, header: str
    ) -> None:
        tag = await a_tag(session)
        for method, name in (("DELETE", "If-Match"), ("GET", "If-None-Match")):
            refused = await as_staff.request(method, f"/tags/{tag.id}", headers={name: header})
            assert_refused(refused, 422, f"header.{name}: must be ETags in quotes")

    @pytest.mark.parametrize("header", PRESENT)
    async def test_one_etag_of_a_list_is_enough(
        self, as_staff: AsyncClient, session: AsyncSession, header: str
    ) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        present = header.format((await as_staff.get(path)).headers["ETag"])
        assert (await as_staff.get(path, headers={"If-None-Match": present})).status_code == 304
        changed = await as_staff.patch(path, json={"name": "Vinyl"}, headers={"If-Match": present})
        assert changed.status_code == 200

    async def test_two_lines_of_a_header_are_one_list(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        tag = (await as_staff.get(path)).headers["ETag"]
        lines = [("If-Match", '"x"'), ("If-Match", tag)]
        assert (await as_staff.patch(path, json={"name": "Vinyl"}, headers=lines)).status_code == 200

    async def test_a_long_header_is_refused_at_once(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        began = monotonic()
        for content in (f'"a"{", ," * 5_000}x', '"a"' + " " * 20_000 + "x", "W/" * 10_000, ", " * 10_000):
            assert_refused(await as_staff.delete(path, headers={"If-Match": content}), 422)
        assert monotonic() - began < 2

    async def test_a_row_that_does_not_exist_is_not_found_whatever_is_expected_of_it(
        self, as_staff: AsyncClient
    ) -> None:
        assert_refused(await as_staff.patch("/tags/1", json={"name": "X"}, headers={"If-Match": "*"}), 404)

    async def test_whoever_may_not_edit_learns_nothing_of_the_version(
        self, as_customer: AsyncClient, client: AsyncClient, session: AsyncSession
    ) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        for caller, status in ((client, 401), (as_customer, 403)):
            for tag in ('"1-x"', '"2-x"'):
                assert_refused(await caller.patch(path, json={"name": "X"}, headers={"If-Match": tag}), status)


class TestIdempotencyKey:
    async def test_a_replay_is_the_first_answer_without_an_etag_although_the_row_has_changed(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        headers = {"If-Match": (await as_staff.get(path)).headers["ETag"], "Idempotency-Key": "edit"}
        first = await as_staff.patch(path, json={"name": "Vinyl"}, headers=headers)
        await as_staff.patch(path, json={"name": "Records"})

        again = await as_staff.patch(path, json={"name": "Vinyl"}, headers=headers)

        assert (again.status_code, again.content) == (200, first.content)
        assert "ETag" in first.headers
        assert "ETag" not in again.headers
        assert (await as_staff.get(path)).json()["name"] == "Records"

    async def test_another_etag_under_the_same_key_is_another_request(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        path = f"/tags/{(await a_tag(session)).id}"
        key = {"Idempotency-Key": "edit"}
        stale = await as_staff.patch(path, json={"name": "Vinyl"}, headers=key | {"If-Match": '"0-x"'})
        assert_refused(stale, 412)
        again = await as_staff.patch(path, json={"name": "Vinyl"}, headers=key | {"If-Match": '"0-x"'})
        assert_refused(again, 412)
        assert again.headers["Idempotent-Replayed"] == "true"
        for other in ({"If-Match": "*"}, {}):
            refused = await as_staff.patch(path, json={"name": "Vinyl"}, headers=key | other)
            assert_refused(refused, 422, "was already used for another request")

    async def test_a_request_without_the_header_has_the_fingerprint_of_earlier_releases(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """Or a request that an older release did would be refused when it is sent again to this one."""
        tag = await a_tag(session)
        await as_staff.delete(f"/tags/{tag.id}", headers={"Idempotency-Key": "gone"})
        stored = (await session.exec(select(IdempotencyKey))).one()
        content = f"DELETE /tags/{tag.id}?\n".encode()
        assert stored.fingerprint == sha256(content).hexdigest()


async def editing(data: ProductUpdate, product: Annotated[Product, Depends()], user: CurrentUser) -> Product:
    raise NotImplementedError


async def advancing(order: Annotated[StoredOrder, Depends()]) -> StoredOrder:
    raise NotImplementedError


async def ordering(data: OrderCreate, user: CurrentUser) -> StoredOrder:
    raise NotImplementedError


async def paying(user: CurrentUser) -> PaymentRead:
    raise NotImplementedError


class TestRulesOfARoute:
    @pytest.mark.parametrize(
        ("endpoint", "row"), [(editing, "product"), (advancing, "order"), (ordering, None), (paying, None)]
    )
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    def test_an_edit_guards_the_row_that_it_is_given(self, endpoint: object, row: str | None, method: str) -> None:
        rules = rules_of(endpoint, method)
        assert rules.row == row
        assert rules.refusal_of_match == (None if row else NO_SINGLE_ROW)
        assert not rules.takes_if_none_match

    @pytest.mark.parametrize(("endpoint", "has_etag"), [(editing, True), (ordering, True), (paying, False)])
    def test_a_post_guards_no_row_and_answers_the_etag_of_one_with_a_version(
        self, endpoint: object, has_etag: bool
    ) -> None:
        rules = rules_of(endpoint, "POST")
        assert (rules.row, rules.refusal_of_match, rules.has_etag) == (None, ONLY_EDITS, has_etag)

    @pytest.mark.parametrize(
        ("model", "has_etag"), [(ProductRead, True), (PaymentRead, True), (list[PaymentRead], False)]
    )
    def test_a_read_of_one_row_has_an_etag(self, model: object, has_etag: bool) -> None:
        rules = rules_of(paying, "GET", model)
        assert (rules.has_etag, rules.takes_if_none_match, rules.refusal_of_match) == (has_etag, has_etag, ONLY_EDITS)


def rules_of(endpoint: object, method: str, model: object = ProductRead) -> Preconditions:
    router = new_router()
    router.add_api_route("/things/{id}", endpoint, methods=[method], response_model=model)  # type: ignore[arg-type]
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    return Preconditions(route)


def _version(response: Response) -> str:
    return response.headers["ETag"].strip('"').partition("-")[0]
