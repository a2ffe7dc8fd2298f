"""A read selects the columns that the response needs, and no others."""

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.user import User
from tests.factories import a_post, an_order
from tests.support import count_statements


class TestSelectedColumns:
    @pytest.mark.parametrize(
        "path",
        [
            "/users",
            "/users?cursor=",
            "/users?search=c&is_active=true",
            "/users/search?q=c",
            "/posts",
            "/posts/{post}",
            "/posts/by-slug/{slug}",
            "/orders",
            "/orders/{order}/details",
            "/orders/user/{user}",
            "/users/{user}",
            "/users/{user}/with-posts",
            "/users/by-email/{email}",
        ],
    )
    async def test_only_the_check_of_the_token_reads_a_password_hash(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, path: str
    ) -> None:
        post, order = await a_post(session, customer), await an_order(session, customer)
        with count_statements(database) as statements:
            response = await as_staff.get(
                path.format(post=post.id, slug=post.slug, order=order.id, user=customer.id, email=customer.email)
            )

        assert response.status_code == 200
        token_check, *others = statements
        assert "tokens" in token_check
        assert [each for each in others if "hashed_password" in each] == []

    @pytest.mark.parametrize(
        "path", ["/posts", "/posts?cursor=", "/posts?author_id={user}", "/users/{user}/with-posts"]
    )
    async def test_no_list_reads_the_content_of_posts(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, path: str
    ) -> None:
        post = await a_post(session, customer)
        with count_statements(database) as statements:
            assert post.title in (await as_staff.get(path.format(user=customer.id))).text
        assert [each for each in statements if "posts.content" in each] == []
