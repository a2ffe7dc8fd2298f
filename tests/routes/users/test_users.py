"""/users: who may call which route, and how users are listed, searched and read."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.post import PostStatus
from api.models.types import MAX_ID
from api.models.user import User
from api.routers.users import MAX_POSTS
from tests.factories import a_post, a_tag, a_user
from tests.lists import walk
from tests.routes.users.support import NEWCOMER, USER_FIELDS, usernames
from tests.support import assert_refused, count_statements, said

ACCESS = """
                                             nobody  owner  other  staff
POST   /users                                   201    201    201    201
POST   /users/bulk                              401    403    403    201
GET    /users                                   401    403    403    200
GET    /users/search                            401    403    403    200
GET    /users/me                                401    200    200    200
PATCH  /users/me                                401    200    200    200
GET    /users/by-email/{email}                  401    403    403    200
GET    /users/stats/active-count                401    403    403    200
GET    /users/stats/top-spenders                401    403    403    200
PATCH  /users/bulk/deactivate                   401    403    403    200
DELETE /users/bulk/inactive                     401    403    403    200
GET    /users/{id}                              401    200    404    200
GET    /users/{id}/with-posts                   401    200    404    200
PUT    /users/{id}                              401    200    404    200
PATCH  /users/{id}                              401    200    404    200
PATCH  /users/{id}  (deactivate)                401    403    404    200
PATCH  /users/{id}  (make staff)                401    403    404    200
DELETE /users/{id}                              401    204    404    204
DELETE /users/{id}/soft                         401    200    404    200
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /users": {"json": NEWCOMER},
    "POST /users/bulk": {"json": [NEWCOMER]},
    "GET /users/search": {"params": {"q": "own"}},
    "PATCH /users/me": {"json": {"bio": "Hello."}},
    "PATCH /users/bulk/deactivate": {"params": {"days": 1}},
    "PUT /users/{id}": {"json": {"username": "owner", "email": "owner@example.com"}},
    "PATCH /users/{id}": {"json": {"bio": "Hello."}},
    "PATCH /users/{id} (deactivate)": {"json": {"is_active": False}},
    "PATCH /users/{id} (make staff)": {"json": {"is_superuser": True}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""

INVALID_IDS = ["0", "-1", str(MAX_ID + 1), "9" * 4_000, "9" * 5_000, "one", "1.5", "%00"]


class TestListUsers:
    async def test_staff_list_all_users_newest_first(
        self, as_staff: AsyncClient, customer: User, other_customer: User
    ) -> None:
        response = await as_staff.get("/users")

        assert usernames(response) == ["other_customer", "customer", "staff"]
        assert response.json()["total"] == 3
        assert all(item.keys() == USER_FIELDS for item in response.json()["items"])

    async def test_callers_other_than_staff_are_refused(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users"), 401)
        assert_refused(await as_customer.get("/users"), 403, "Only staff")

    async def test_the_list_can_be_limited_to_active_or_inactive_users(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "inactive", is_active=False)

        assert usernames(await as_staff.get("/users", params={"is_active": True})) == ["staff"]
        assert usernames(await as_staff.get("/users", params={"is_active": False})) == ["inactive"]

    @pytest.mark.parametrize("search", ["LICE", "alice@", "Élise", "éLISE", "a_l"])
    async def test_a_search_matches_a_part_of_the_username_the_email_or_the_full_name(
        self, as_staff: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_user(session, "Alice_a_l", email="alice@example.org", full_name="Élise A.")
        await a_user(session, "axl", full_name="Elise")

        assert usernames(await as_staff.get("/users", params={"search": search})) == ["Alice_a_l"]

    async def test_filters_can_be_combined(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "alice_1", is_active=False)
        await a_user(session, "alice_2")
        await a_user(session, "bob_1", is_active=False)

        response = await as_staff.get("/users", params={"search": "alice", "is_active": False})

        assert (usernames(response), response.json()["total"]) == (["alice_1"], 1)

    async def test_pages_show_each_user_once(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(4):
            await a_user(session)

        pages = [(await as_staff.get("/users", params={"page": page, "page_size": 2})).json() for page in (1, 2, 3, 4)]

        ids = [item["id"] for page in pages for item in page["items"]]
        assert ids == sorted(ids, reverse=True)
        assert [len(page["items"]) for page in pages] == [2, 2, 1, 0]
        assert [page["has_next"] for page in pages] == [True, True, False, False]
        assert {(page["total"], page["total_pages"]) for page in pages} == {(5, 3)}

    async def test_cursors_show_each_user_once(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(4):
            await a_user(session)
        ids = [row["id"] for row in await walk(as_staff, "/users", page_size=2)]

        assert ids == sorted((await session.exec(select(User.id))).all(), reverse=True)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": "x" * 101}, "query.search"),
            ({"search": "\0"}, "query.search"),
            ({"is_active": "perhaps"}, "query.is_active"),
            ({"page": 0}, "query.page"),
            ({"page": "9" * 4_000}, "query.page"),
            ({"page": 1_000_001}, "query.page"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_an_invalid_query_parameter_is_refused(
        self, as_staff: AsyncClient, query: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_staff.get("/users", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_of_any_length_takes_two_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session)

        with count_statements(database) as statements:
            response = await as_staff.get("/users", params={"page_size": 100})
        assert len(response.json()["items"]) == size + 1
        assert len(statements) == 2  # the token, the count, the users
        with count_statements(database) as statements:
            await as_staff.get("/users", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 2


class TestSearchUsers:
    async def test_staff_find_users_by_a_part_of_a_name_or_email(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "alice", full_name="Alice B.")
        await a_user(session, "bob", email="bob.alice@example.com")
        await a_user(session, "carol", full_name="100% Carol")

        assert usernames(await as_staff.get("/users/search", params={"q": "ALICE"})) == ["bob", "alice"]
        assert usernames(await as_staff.get("/users/search", params={"q": "%"})) == ["carol"]
        assert usernames(await as_staff.get("/users/search", params={"q": "b_b"})) == []

    async def test_callers_other_than_staff_are_refused(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/search", params={"q": "a"}), 401)
        assert_refused(await as_customer.get("/users/search", params={"q": "a"}), 403)

    @pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "\0"}, {"q": "x" * 101}], ids=lambda query: str(query)[:20])
    async def test_an_invalid_search_text_is_refused(self, as_staff: AsyncClient, query: dict[str, str]) -> None:
        assert_refused(await as_staff.get("/users/search", params=query), 422, "query.q")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_result_of_any_length_takes_two_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session)

        with count_statements(database) as statements:
            await as_staff.get("/users/search", params={"q": "user", "page_size": 100})
        assert len(statements) == 2


class TestReadMe:
    async def test_users_read_their_own_row(self, as_customer: AsyncClient, customer: User, database: Database) -> None:
        with count_statements(database) as statements:
            response = await as_customer.get("/users/me")

        assert response.json().keys() == USER_FIELDS
        assert (response.json()["id"], response.json()["username"]) == (customer.id, "customer")
        assert len(statements) == 1

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/users/me"), 401)


class TestReadUser:
    async def test_users_read_themselves_and_staff_read_any_user(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, database: Database
    ) -> None:
        with count_statements(database) as statements:
            own = await as_customer.get(f"/users/{customer.id}")

        assert own.json().keys() == USER_FIELDS
        assert own.json() == (await as_staff.get(f"/users/{customer.id}")).json()
        assert len(statements) == 2

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, staff: User
    ) -> None:
        assert_refused(await client.get(f"/users/{other_customer.id}"), 401)
        answers = [await as_customer.get(f"/users/{user_id}") for user_id in (other_customer.id, staff.id, MAX_ID)]
        assert_refused(answers[0], 404, "There is no such user.")
        assert len({str(said(answer)) for answer in answers}) == 1

    @pytest.mark.parametrize("user_id", [1_000_000, MAX_ID])
    async def test_an_unknown_id_is_not_found(self, as_staff: AsyncClient, user_id: int) -> None:
        assert_refused(await as_staff.get(f"/users/{user_id}"), 404, "no such user")

    @pytest.mark.parametrize("user_id", INVALID_IDS, ids=lambda value: value[:25])
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_a_text_that_cannot_be_an_id_is_refused(
        self, as_staff: AsyncClient, method: str, user_id: str
    ) -> None:
        assert_refused(await as_staff.request(method, f"/users/{user_id}"), 422, "path.id")


class TestReadUserByEmail:
    @pytest.mark.parametrize("email", ["customer@example.com", "Customer@EXAMPLE.com"])
    async def test_staff_read_a_user_by_email_in_any_case(
        self, as_staff: AsyncClient, customer: User, email: str
    ) -> None:
        assert (await as_staff.get(f"/users/by-email/{email}")).json()["id"] == customer.id

    async def test_callers_other_than_staff_are_refused_even_for_their_own_email(
        self, client: AsyncClient, as_customer: AsyncClient
    ) -> None:
        assert_refused(await client.get("/users/by-email/customer@example.com"), 401)
        assert_refused(await as_customer.get("/users/by-email/customer@example.com"), 403)

    @pytest.mark.parametrize("email", ["nobody@example.com", "%", "customer", "%ff", "%ED%A0%80"])
    async def test_an_unknown_email_is_not_found(self, as_staff: AsyncClient, customer: User, email: str) -> None:
        assert_refused(await as_staff.get(f"/users/by-email/{email}"), 404, "no such user")

    @pytest.mark.parametrize("email", ["a%00b", "x" * 301])
    async def test_a_text_that_cannot_be_an_email_is_refused(self, as_staff: AsyncClient, email: str) -> None:
        assert_refused(await as_staff.get(f"/users/by-email/{email}"), 422, "path.email")


class TestReadUserWithPosts:
    async def test_users_read_themselves_with_all_posts_and_their_sorted_tags(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        tags = [await a_tag(session, name) for name in ("Vinyl", "Audio")]
        draft = await a_post(session, customer, tags=tags, status=PostStatus.DRAFT)
        published = await a_post(session, customer)
        await a_post(session, other_customer)

        body = (await as_customer.get(f"/users/{customer.id}/with-posts")).json()

        assert body.keys() == USER_FIELDS | {"posts"}
        posts = {post["id"]: post for post in body["posts"]}
        assert posts.keys() == {draft.id, published.id}
        assert [tag["name"] for tag in posts[draft.id]["tags"]] == ["Audio", "Vinyl"]
        assert posts[published.id]["tags"] == []
        assert "content" not in posts[draft.id]

    async def test_of_many_posts_the_newest_are_shown(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        ids = [(await a_post(session, customer)).id for _ in range(MAX_POSTS + 3)]

        body = (await as_customer.get(f"/users/{customer.id}/with-posts")).json()

        assert [post["id"] for post in body["posts"]] == ids[3:]

    async def test_staff_read_any_user_with_posts(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.get(f"/users/{customer.id}/with-posts")).json()["posts"] == []

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, other_customer: User
    ) -> None:
        assert_refused(await client.get(f"/users/{other_customer.id}/with-posts"), 401)
        assert_refused(await as_customer.get(f"/users/{other_customer.id}/with-posts"), 404)
        assert_refused(await as_staff.get("/users/1000000/with-posts"), 404)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_any_number_of_posts_takes_four_statements(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_post(session, customer, tags=[await a_tag(session)])

        with count_statements(database) as statements:
            response = await as_customer.get(f"/users/{customer.id}/with-posts")
        assert len(response.json()["posts"]) == size
        assert len(statements) == 4  # the token, the user, the posts, their tags
