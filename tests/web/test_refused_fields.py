"""A field that a request must not have is refused with where to go, a wrong text with words and not with a pattern."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import Schema
from api.models.types import WORDS_FOR_PATTERNS
from tests.factories import a_category, a_post, a_product
from tests.support import assert_refused

ORDER = {"items": [{"product_id": 1, "quantity": 1}]}
PRODUCT = {"name": "Cable", "sku": "C-1", "price": "9.99"}
USER = {"username": "johndoe", "email": "john@example.com"}


class TestElsewhere:
    @pytest.mark.parametrize(
        ("method", "path", "body", "field", "instead"),
        [
            ("PATCH", "/products/{product}", {"stock_quantity": 5}, "stock_quantity", "POST /products/{id}/stock"),
            ("PUT", "/products/{product}", {**PRODUCT, "stock_quantity": 5}, "stock_quantity",
             "POST /products/{id}/stock"),
            ("PUT", "/users/{user}", {**USER, "is_active": False}, "is_active", "PATCH /users/{id}"),
            ("PUT", "/users/{user}", {**USER, "password": "SecurePass456"}, "password", "POST /auth/password"),
            ("PATCH", "/users/{user}", {"password": "SecurePass456"}, "password", "POST /auth/password"),
            ("PATCH", "/users/me", {"password": "SecurePass456"}, "password", "POST /auth/password"),
            ("PATCH", "/users/me", {"is_active": False}, "is_active", "DELETE /users/{id}/soft"),
            ("PATCH", "/users/me", {"is_superuser": True}, "is_superuser", "PATCH /users/{id}"),
            ("POST", "/users", {**USER, "is_superuser": True}, "is_superuser", "PATCH /users/{id}"),
            ("POST", "/orders", {**ORDER, "status": "confirmed"}, "status", "PATCH /orders/{id}/status"),
            ("POST", "/orders", {**ORDER, "paid_amount": "1.00"}, "paid_amount", "POST /orders/{id}/payments"),
            ("POST", "/orders", {**ORDER, "total_amount": "1.00"}, "total_amount", "the prices of today"),
            ("POST", "/orders", {**ORDER, "id": 1}, "id", "the shop sets it"),
            ("POST", "/accounts/1/deposits", {"amount": "1", "balance": "1"}, "balance", "POST /accounts/transfers"),
            ("POST", "/categories", {"name": "Vinyl", "products": []}, "products", "PATCH /products/{id}"),
            ("PATCH", "/posts/{post}", {"author_id": 1}, "author_id", "its author"),
            ("PATCH", "/posts/{post}", {"published_at": None}, "published_at", "`status` becomes `published`"),
        ],
    )  # fmt: skip
    async def test_a_field_that_is_written_elsewhere_names_the_route(
        self,
        as_staff: AsyncClient,
        staff: SQLModel,
        session: AsyncSession,
        method: str,
        path: str,
        body: dict[str, Any],
        field: str,
        instead: str,
    ) -> None:
        product, post = await a_product(session), await a_post(session)
        target = path.format(product=product.id, post=post.id, user=getattr(staff, "id", None))

        refused = await as_staff.request(method, target, json=body)

        assert_refused(refused, 422, f"body.{field}: cannot be written here: ")
        assert instead in refused.json()["detail"]

    async def test_a_field_of_a_line_is_explained_too(self, as_customer: AsyncClient) -> None:
        line = {"product_id": 1, "quantity": 1, "unit_price": "0.01"}

        refused = await as_customer.post("/orders", json={"items": [line]})

        assert_refused(refused, 422, "body.items.0.unit_price: cannot be written here: it is the product's of today")

    def test_no_class_says_of_its_own_field_that_it_is_elsewhere(self) -> None:
        waiting: list[type[Schema]] = [Schema]
        while waiting:
            model = waiting.pop()
            waiting += model.__subclasses__()
            if model.__name__.endswith(("Base", "Create", "Update", "Change")) and model is not Schema:
                hidden = {name for name in model.model_fields if name in vars(model).get("elsewhere", {})}
                assert not hidden, f"{model.__name__} has the fields {hidden}"


class TestNearestField:
    @pytest.mark.parametrize(
        ("path", "body", "sent", "nearest"),
        [
            ("/products", PRODUCT, "prise", "price"),
            ("/products", PRODUCT, "categoryId", "category_id"),
            ("/products", PRODUCT, "stock", "stock_quantity"),
            ("/orders", ORDER, "shippingAddress", "shipping_address"),
            ("/users", {**USER, "password": "SecurePass123"}, "fullname", "full_name"),
            ("/products/1/stock", {"delta": 1, "reason": "x"}, "quantity", "delta"),
            ("/auth/keys", {"name": "x"}, "expires_at", "expires_in_days"),
        ],
    )
    async def test_an_unknown_field_names_the_nearest_one(
        self, as_staff: AsyncClient, session: AsyncSession, path: str, body: dict[str, Any], sent: str, nearest: str
    ) -> None:
        product = await a_product(session)

        refused = await as_staff.post(path.replace("/1/", f"/{product.id}/"), json={**body, sent: 1})

        assert_refused(refused, 422, f"body.{sent}: is not a field of this request: did you mean `{nearest}`?")

    async def test_an_unknown_field_in_a_list_names_its_place(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.post("/products/bulk", json=[PRODUCT, {**PRODUCT, "sku": "C-2", "prize": 1}])

        assert_refused(refused, 422, "body.1.prize: is not a field of this request: did you mean `price`?")

    async def test_a_field_that_is_like_none_is_told_all(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.post("/tags", json={"name": "Vinyl", "xyz": 1})

        assert_refused(refused, 422, "body.xyz: is not a field of this request: known are `name`, `slug`")

    async def test_a_sign_in_by_json_is_told_to_send_a_form(self, client: AsyncClient) -> None:
        refused = await client.post("/auth/token", json={"username": "johndoe", "password": "SecurePass123"})

        assert_refused(refused, 422, "body.username: Field required: send a form")


class TestSignIn:
    async def test_a_401_names_the_route_that_gives_tokens(self, client: AsyncClient) -> None:
        without = await client.get("/orders")
        invalid = await client.get("/orders", headers={"Authorization": "Bearer nonsense"})

        for refused in (without, invalid):
            assert_refused(refused, 401, "`POST /auth/token`")


class TestPattern:
    @pytest.mark.parametrize(
        ("path", "field", "value", "words"),
        [
            ("/products", "sku", "WH 001", "lower-case letters become upper-case"),
            ("/products", "slug", "Wireless Headphones", "the letters a to z, digits, and single hyphens"),
            ("/categories", "slug", "Audio", "the letters a to z, digits, and single hyphens"),
            ("/users", "username", "john.doe", "the letters a to z and A to Z, digits and underscores"),
        ],
    )
    async def test_a_pattern_is_explained_in_words(
        self, as_staff: AsyncClient, path: str, field: str, value: str, words: str
    ) -> None:
        refused = await as_staff.post(path, json={field: value})

        assert_refused(refused, 422)
        (message,) = (each["message"] for each in refused.json()["errors"] if each["field"] == f"body.{field}")
        assert words in message
        assert "^" not in message

    async def test_a_malformed_idempotency_key_is_explained_in_words(self, as_customer: AsyncClient) -> None:
        refused = await as_customer.post("/orders", json=ORDER, headers={"Idempotency-Key": "two words"})

        assert_refused(refused, 422, "must be one text of 1 to 255 visible ASCII characters")

    def test_every_pattern_of_a_model_has_its_words(self) -> None:
        waiting: list[type[SQLModel]] = [SQLModel]
        while waiting:
            model = waiting.pop()
            waiting += model.__subclasses__()
            for name, field in model.model_fields.items():
                patterns = [each.pattern for each in field.metadata if getattr(each, "pattern", None)]
                missing = [each for each in patterns if each not in WORDS_FOR_PATTERNS]
                assert not missing, f"{model.__name__}.{name}: say `in_words({missing[0]!r}, ...)`"


class TestSku:
    async def test_a_sku_is_made_upper_case_and_found_in_any_case(self, as_staff: AsyncClient) -> None:
        created = (await as_staff.post("/products", json={**PRODUCT, "sku": " wh-001a "})).json()
        assert created["sku"] == "WH-001A"
        for sku in ("WH-001A", "wh-001a", "Wh-001A"):
            found = await as_staff.get(f"/products/by-sku/{sku}")
            assert (found.status_code, found.json()["id"]) == (200, created["id"])
        changed = await as_staff.patch(f"/products/{created['id']}", json={"sku": "wh-002"})
        assert changed.json()["sku"] == "WH-002"

    async def test_two_cases_of_one_sku_are_one_sku(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, sku="WH-001", category=await a_category(session))

        assert_refused(await as_staff.post("/products", json={**PRODUCT, "sku": "wh-001"}), 409, "sku")

    @pytest.mark.parametrize("sku", ["ß", "ı-1", "ＷＨ"])
    async def test_only_letters_of_ascii_change_their_case(self, as_staff: AsyncClient, sku: str) -> None:
        assert_refused(await as_staff.post("/products", json={**PRODUCT, "sku": sku}), 422, "body.sku")
        assert_refused(await as_staff.get(f"/products/by-sku/{sku}"), 404)
