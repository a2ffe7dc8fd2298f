"""/tags: anyone reads tags, staff keep them."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.tag import Tag
from api.models.types import MAX_ID
from tests.factories import a_post, a_tag
from tests.lists import names
from tests.support import assert_refused, count_statements

ACCESS = """
                                              nobody  owner  other  staff
GET    /tags                                     200    200    200    200
GET    /tags/{id}                                200    200    200    200
POST   /tags                                     401    403    403    201
PATCH  /tags/{id}                                401    403    403    200
DELETE /tags/{id}                                401    403    403    204
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /tags": {"json": {"name": "Tests"}},
    "PATCH /tags/{id}": {"json": {"name": "Tests"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


async def stored_names(session: AsyncSession) -> list[str]:
    """The names of all tags in the database, sorted."""
    return sorted((await session.exec(select(Tag.name))).all())


class TestListTags:
    async def test_the_list_is_empty_in_a_new_shop(self, client: AsyncClient) -> None:
        assert (await client.get("/tags")).json()["items"] == []

    async def test_anyone_can_list_tags_in_order_of_their_names(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for name in ("Vinyl", "Audio", "Émile", "audio"):
            await a_tag(session, name)

        response = await client.get("/tags")

        assert names(response.json()) == ["Audio", "Vinyl", "audio", "Émile"]
        assert response.json()["items"][0].keys() == {"id", "name", "slug"}

    @pytest.mark.parametrize("search", ["VIN", "inyl", "100%", "n_y"])
    async def test_the_search_finds_a_part_of_the_name(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_tag(session, "Vinyl 100% n_y")
        await a_tag(session, "1000 nxy")

        assert names((await client.get("/tags", params={"search": search})).json()) == ["Vinyl 100% n_y"]

    async def test_every_tag_is_listed_exactly_once_in_pages_and_by_cursor(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(5):
            await a_tag(session, f"Tag {number}")

        beyond = (await client.get("/tags", params={"page": 4, "page_size": 2})).json()
        first = (await client.get("/tags", params={"cursor": "", "page_size": 3})).json()
        second = (await client.get("/tags", params={"cursor": first["next_cursor"], "page_size": 3})).json()

        assert (beyond["items"], beyond["total"], beyond["has_previous"]) == ([], 5, True)
        assert names(first) + names(second) == [f"Tag {number}" for number in range(5)]
        assert second["next_cursor"] is None

    @pytest.mark.parametrize("query", [{"search": "\0"}, {"search": "x" * 101}, {"page": 2**63}])
    async def test_an_invalid_query_parameter_is_refused(self, client: AsyncClient, query: dict[str, Any]) -> None:
        assert_refused(await client.get("/tags", params=query), 422, f"query.{next(iter(query))}")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_page_costs_one_statement_whatever_its_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            await a_tag(session, f"Tag {number}")

        with count_statements(database) as statements:
            response = await client.get("/tags", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 1


class TestCreateTag:
    async def test_staff_can_add_a_tag(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        response = await as_staff.post("/tags", json={"name": " Long reads ", "slug": "reads"})

        assert response.status_code == 201
        tag = await session.get(Tag, response.json()["id"])
        assert tag is not None
        assert (tag.name, tag.slug) == ("Long reads", "reads")

    async def test_only_staff_can_add_a_tag(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/tags", json={"name": "Vinyl"}), 401)
        assert_refused(await as_customer.post("/tags", json={"name": "Vinyl"}), 403)
        assert await stored_names(session) == []

    @pytest.mark.parametrize(("name", "slug"), [("Long reads", "long-reads"), ("Été", "ete"), ("!!!", "tag")])
    async def test_an_absent_slug_is_generated_from_the_name(self, as_staff: AsyncClient, name: str, slug: str) -> None:
        assert (await as_staff.post("/tags", json={"name": name})).json()["slug"] == slug

    async def test_a_generated_slug_that_is_in_use_gets_a_suffix(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_tag(session, "Hi-Fi", slug="hi-fi")

        slug = (await as_staff.post("/tags", json={"name": "Hi Fi"})).json()["slug"]

        assert slug.startswith("hi-fi-")
        assert len(slug) > len("hi-fi-")

    async def test_a_name_or_slug_that_is_in_use_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_tag(session, "Vinyl", slug="vinyl")

        assert_refused(
            await as_staff.post("/tags", json={"name": "Vinyl"}), 409, "A tag with this name already exists."
        )
        new = {"name": "Records", "slug": "vinyl"}
        assert_refused(await as_staff.post("/tags", json=new), 409, "A tag with this slug already exists.")
        assert await stored_names(session) == ["Vinyl"]

    async def test_one_of_three_simultaneous_tags_with_the_same_name_is_added(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        responses = await asyncio.gather(*(as_staff.post("/tags", json={"name": "Vinyl"}) for _ in range(3)))

        assert sorted(response.status_code for response in responses) == [201, 409, 409]
        assert await stored_names(session) == ["Vinyl"]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": None}, "body.name"),
            ({"name": ""}, "body.name"),
            ({"name": " "}, "body.name"),
            ({"name": "x" * 51}, "body.name"),
            ({"name": 7}, "body.name"),
            ({"name": "a\0b"}, "body.name"),
            ({"slug": ""}, "body.slug"),
            ({"slug": "Vinyl"}, "body.slug"),
            ({"slug": "x" * 121}, "body.slug"),
            ({"id": 7}, "body.id"),
            ({"posts": []}, "body.posts"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_an_invalid_field_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_staff.post("/tags", json={"name": "Vinyl", **changes}), 422, field)
        assert await stored_names(session) == []


class TestUpdateTag:
    async def test_only_the_fields_that_are_sent_change(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        tag = await a_tag(session, "Vinyl", slug="vinyl")

        renamed = await as_staff.patch(f"/tags/{tag.id}", json={"name": "Records"})
        moved = await as_staff.patch(f"/tags/{tag.id}", json={"slug": "records"})

        assert renamed.json() == {"id": tag.id, "name": "Records", "slug": "vinyl"}
        assert moved.json() == {"id": tag.id, "name": "Records", "slug": "records"}
        stored = await session.get(Tag, tag.id)
        assert stored is not None
        assert (stored.name, stored.slug) == ("Records", "records")

    async def test_only_staff_can_update_a_tag(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        tag = await a_tag(session, "Vinyl")

        assert_refused(await client.patch(f"/tags/{tag.id}", json={"name": "Records"}), 401)
        assert_refused(await as_customer.patch(f"/tags/{tag.id}", json={"name": "Records"}), 403)
        assert await stored_names(session) == ["Vinyl"]

    async def test_a_name_or_slug_that_is_in_use_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_tag(session, "Vinyl", slug="vinyl")
        tag = await a_tag(session, "Audio")

        for changes in ({"name": "Vinyl"}, {"slug": "vinyl"}):
            refused = await as_staff.patch(f"/tags/{tag.id}", json=changes)
            assert_refused(refused, 409, f"A tag with this {next(iter(changes))} already exists.")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"name": None}, "body.name"), ({"slug": None}, "body.slug"), ({"id": 7}, "body.id"), ({"name": ""}, "body")],
        ids=str,
    )
    async def test_an_invalid_field_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        tag = await a_tag(session, "Vinyl")

        assert_refused(await as_staff.patch(f"/tags/{tag.id}", json=changes), 422, field)
        assert await stored_names(session) == ["Vinyl"]

    async def test_a_tag_that_does_not_exist_cannot_be_updated(self, as_staff: AsyncClient) -> None:
        for tag_id in (1_000_000, MAX_ID):
            assert_refused(await as_staff.patch(f"/tags/{tag_id}", json={}), 404, "no such tag")

    async def test_a_tag_can_be_deleted_while_it_is_updated(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            tag = await a_tag(session, f"Tag {number}")
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/tags/{tag.id}"), as_staff.patch(f"/tags/{tag.id}", json={"name": f"New {number}"})
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await stored_names(session) == []


class TestDeleteTag:
    async def test_the_posts_of_a_deleted_tag_stay(
        self, as_staff: AsyncClient, client: AsyncClient, session: AsyncSession
    ) -> None:
        tag, other = await a_tag(session, "Vinyl"), await a_tag(session, "Audio")
        post = await a_post(session, tags=[tag, other])

        response = await as_staff.delete(f"/tags/{tag.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await stored_names(session) == ["Audio"]
        read = await client.get(f"/posts/{post.id}")
        assert [each["name"] for each in read.json()["tags"]] == ["Audio"]

    async def test_only_staff_can_delete_a_tag(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        tag = await a_tag(session, "Vinyl")

        assert_refused(await client.delete(f"/tags/{tag.id}"), 401)
        assert_refused(await as_customer.delete(f"/tags/{tag.id}"), 403)
        assert await stored_names(session) == ["Vinyl"]

    async def test_a_tag_that_does_not_exist_cannot_be_deleted(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.delete("/tags/1000000"), 404, "no such tag")

    async def test_one_of_two_simultaneous_deletions_is_not_found(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(5):
            tag = await a_tag(session, f"Tag {number}")
            responses = await asyncio.gather(*(as_staff.delete(f"/tags/{tag.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]


@pytest.mark.parametrize("tag_id", ["0", str(MAX_ID + 1), "9" * 4_000, "one"], ids=lambda value: value[:25])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_an_invalid_tag_id_is_refused(as_staff: AsyncClient, method: str, tag_id: str) -> None:
    assert_refused(await as_staff.request(method, f"/tags/{tag_id}", json={}), 422, "path.id")
