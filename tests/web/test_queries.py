"""The query of a request: no name is ignored, `skip` and `limit` page like `page` and `page_size`."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.factories import a_product
from tests.support import assert_refused


async def ten_products(session: AsyncSession) -> list[int]:
    """Their ids in the order of the list, the newest first."""
    return [(await a_product(session)).id for _ in range(10)][::-1]


class TestUnknownParameter:
    @pytest.mark.parametrize(
        ("path", "sent", "nearest"),
        [
            ("/products", "serach", "search"),
            ("/products", "minprice", "min_price"),
            ("/products", "minPrice", "min_price"),
            ("/products", "pagesize", "page_size"),
            ("/products", "per_page", "page_size"),
            ("/products", "offset", "skip"),
            ("/products", "category", "category_id"),
            ("/products", "q", "search"),
            ("/users/search?q=a", "search", "q"),
            ("/users/stats/top-spenders", "limt", "limit"),
            ("/orders", "state", "status"),
        ],
    )
    async def test_a_misspelled_parameter_is_refused_with_the_nearest_name(
        self, as_staff: AsyncClient, path: str, sent: str, nearest: str
    ) -> None:
        refused = await as_staff.get(f"{path}{'&' if '?' in path else '?'}{sent}=1")

        assert_refused(refused, 422, f"query.{sent}: ")
        assert f"`{nearest}`" in refused.json()["detail"]

    async def test_a_name_that_resembles_none_is_refused_with_all_names(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.get("/products/low-stock", params={"colour": "red"})

        assert_refused(refused, 422, "known are `cursor`, `limit`, `page`, `page_size`, `skip`, `threshold`")

    async def test_a_path_without_parameters_says_so(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/health?verbose=1"), 422, "query.verbose: is not a parameter of this path")

    async def test_a_misspelled_parameter_of_a_write_changes_nothing(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        body = {"name": "Vinyl"}

        refused = await as_staff.post("/tags?dry_run=true", json=body, headers={"Idempotency-Key": "once"})

        assert_refused(refused, 422, "query.dry_run")
        assert (await as_staff.post("/tags", json=body)).status_code == 201

    async def test_the_value_of_an_unknown_parameter_is_not_repeated(self, client: AsyncClient) -> None:
        refused = await client.get("/products?pasword=SecurePass123")

        assert_refused(refused, 422, "query.pasword")
        assert "SecurePass123" not in refused.text

    async def test_a_thousand_unknown_parameters_are_refused_in_a_short_answer(self, client: AsyncClient) -> None:
        query = "&".join(f"{'x' * 50}{number}=1" for number in range(1_000))

        refused = await client.get(f"/products?{query}")

        assert_refused(refused, 422)
        assert len(refused.content) < 10_000


class TestRepeatedParameter:
    @pytest.mark.parametrize("query", ["page=1&page=2", "page=1&page=1", "search=&search=a"])
    async def test_a_parameter_that_is_sent_twice_is_refused(self, client: AsyncClient, query: str) -> None:
        name = query.partition("=")[0]

        assert_refused(await client.get(f"/products?{query}"), 422, f"query.{name}: must be sent only once")


class TestEmptyParameter:
    async def test_a_filter_form_that_is_sent_empty_lists_everything(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        ids = await ten_products(session)

        answer = await client.get(
            "/products?search=&min_price=&max_price=&category_id=&in_stock=&is_active=&sort=&page="
        )

        assert [each["id"] for each in answer.json()["items"]] == ids

    async def test_an_empty_parameter_beside_others_leaves_these_as_they_were_sent(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        odd = await a_product(session, "50% & more + é")
        await ten_products(session)

        answer = await client.get("/products", params={"search": "% & MORE + é", "min_price": ""})

        assert [each["id"] for each in answer.json()["items"]] == [odd.id]

    @pytest.mark.parametrize(
        ("method", "path", "name"),
        [
            ("GET", "/users/search", "q"),
            ("PATCH", "/orders/1/status", "new_status"),
            ("PATCH", "/users/bulk/deactivate", "days"),
        ],
    )
    async def test_an_empty_required_parameter_is_refused(
        self, as_staff: AsyncClient, method: str, path: str, name: str
    ) -> None:
        refused = await as_staff.request(method, path, params={name: ""})

        assert refused.status_code == 404 or f"query.{name}" in refused.json()["detail"], refused.text
        assert refused.status_code in (404, 422)


class TestSkipAndLimit:
    @pytest.mark.parametrize("skip", range(12))
    @pytest.mark.parametrize("limit", [1, 3, 4, 10])
    async def test_exactly_the_rows_after_those_that_are_skipped_are_answered(
        self, client: AsyncClient, session: AsyncSession, skip: int, limit: int
    ) -> None:
        ids = await ten_products(session)

        answer = (await client.get("/products", params={"skip": skip, "limit": limit})).json()

        assert [each["id"] for each in answer.pop("items")] == ids[skip : skip + limit]
        assert answer == {
            "total": 10,
            "page": skip // limit + 1,
            "page_size": limit,
            "total_pages": -(-10 // limit),
            "has_next": skip + limit < 10,
            "has_previous": skip > 0,
        }

    async def test_a_loop_by_skip_and_limit_ends_after_every_row(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        ids, found = await ten_products(session), list[int]()
        while items := (await client.get("/products", params={"skip": len(found), "limit": 3})).json()["items"]:
            found += [each["id"] for each in items]
            assert len(found) <= 10

        assert found == ids

    async def test_limit_goes_with_a_page_and_with_a_cursor(self, client: AsyncClient, session: AsyncSession) -> None:
        ids = await ten_products(session)

        by_page = (await client.get("/products", params={"page": 2, "limit": 4})).json()
        by_cursor = (await client.get("/products", params={"cursor": "", "limit": 4})).json()

        assert [each["id"] for each in by_page["items"]] == ids[4:8]
        assert [each["id"] for each in by_cursor["items"]] == ids[:4]
        assert by_cursor["next_cursor"]

    @pytest.mark.parametrize(
        ("params", "field"),
        [
            ({"skip": 0, "page": 1}, "query.skip"),
            ({"skip": 2, "cursor": ""}, "query.skip"),
            ({"limit": 2, "page_size": 2}, "query.limit"),
            ({"skip": -1}, "query.skip"),
            ({"skip": 100_000_001}, "query.skip"),
            ({"limit": 0}, "query.limit"),
            ({"limit": 101}, "query.limit"),
        ],
        ids=str,
    )
    async def test_what_contradicts_itself_or_is_out_of_range_is_refused(
        self, client: AsyncClient, params: dict[str, Any], field: str
    ) -> None:
        assert_refused(await client.get("/products", params=params), 422, f"{field}: ")

    @pytest.mark.parametrize(
        "path", ["/users", "/users/search?q=e", "/categories", "/products/low-stock", "/orders", "/posts", "/tags"]
    )
    async def test_every_list_takes_skip_and_limit(self, as_staff: AsyncClient, path: str) -> None:
        answer = await as_staff.get(f"{path}{'&' if '?' in path else '?'}skip=1&limit=1")

        assert answer.status_code == 200, answer.text
        assert answer.json()["has_previous"] is True
