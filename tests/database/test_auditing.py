"""What a write session changes is seen, however it is written: flushes, and statements of one row or of many."""

from typing import Any

import pytest
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.auditing import MAX_NAMED
from api.database.sessions import Database
from api.models.audit_entry import AuditEntry
from api.models.category import Category
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.tag import PostTag, Tag
from tests.books import rows_of
from tests.factories import a_category, a_post, a_product, a_tag, a_user
from tests.support import save

Told = list[tuple[str, int, Any]]


async def told(session: AsyncSession) -> Told:
    """Action, row and changes of each entry."""
    return [(each.action.value, each.row_id, each.changes) for each in await rows_of(session, AuditEntry)]


class TestUpdate:
    @pytest.mark.parametrize(
        ("values", "changes"),
        [
            ({"price": "12.50"}, {"price": ["10.00", "12.50"]}),
            ({"price": col(Product.price) * 2}, {"price": ["10.00", "20.00"]}),
            ({"name": col(Product.sku)}, {"name": ["Old", "SKU-1"]}),
            ({"description": None}, {"description": ["Text", None]}),
            ({"is_active": False, "stock_quantity": 0}, {"is_active": [True, False]}),
            ({"attributes": {"a": [1, None]}}, {"attributes": [{}, {"a": [1, None]}]}),
            ({"updated_at": col(Product.created_at)}, None),
        ],
        ids=["value", "expression", "column", "null", "same value", "json", "not followed"],
    )
    async def test_an_update_is_told_as_it_came_out(
        self, database: Database, session: AsyncSession, values: dict[str, Any], changes: dict[str, Any] | None
    ) -> None:
        product = await a_product(session, "Old", sku="SKU-1", price="10.00", description="Text")
        if isinstance(values.get("price"), str):
            values = {"price": type(product.price)(values["price"])}
        async with database.transaction() as write:
            changed = await write.exec(update(Product).where(col(Product.id) == product.id).values(values))
            assert changed.rowcount == 1
        assert await told(session) == ([("changed", product.id, changes)] if changes else [])

    async def test_an_update_changes_only_the_rows_that_are_told(
        self, database: Database, session: AsyncSession
    ) -> None:
        tags = [await a_tag(session, name) for name in ("a", "b", "c")]
        async with database.transaction() as write:
            some = update(Tag).where(col(Tag.name).in_(["a", "c", "d"]))
            assert (await write.exec(some.values(slug=col(Tag.slug) + "-x"))).rowcount == 2
            nothing = await write.exec(update(Tag).where(col(Tag.name) == "d").values(slug="d"))
            assert nothing.rowcount == 0
        changes = [("changed", tag.id, {"slug": [tag.slug, f"{tag.slug}-x"]}) for tag in (tags[0], tags[2])]
        assert await told(session) == changes

    async def test_more_rows_than_are_named_are_told_too(self, database: Database, session: AsyncSession) -> None:
        count = MAX_NAMED + 1
        await save(session, *(Tag(name=f"tag {n}", slug=f"tag-{n}") for n in range(count)))
        async with database.transaction() as write:
            assert (await write.exec(update(Tag).values(slug=col(Tag.slug) + "-x"))).rowcount == count
            assert (await write.exec(delete(Tag))).rowcount == count
        actions = [action for action, _, _ in await told(session)]
        assert actions == ["changed"] * count + ["deleted"] * count

    async def test_parameters_beside_an_update_are_refused(self, database: Database, session: AsyncSession) -> None:
        tag = await a_tag(session)
        with pytest.raises(TypeError, match="tags are audited"):
            async with database.transaction() as write:
                await write.exec(update(Tag), params=[{"id": tag.id, "name": "New"}])


class TestFlush:
    async def test_a_flush_is_told_with_what_the_row_really_had(
        self, database: Database, session: AsyncSession
    ) -> None:
        """Another request changed it since it was read, one of an older release, which raises no version."""
        tag = await a_tag(session, "Read")
        by_another = update(Tag).values(name="By another", version=Tag.version)
        async with database.transaction() as write:
            found = (await write.exec(select(Tag).where(Tag.id == tag.id))).one()
            if database.backend == "sqlite":
                await write.exec(by_another)
            else:
                await session.exec(by_another.execution_options(synchronize_session=False))
            found.name = "By this"
        assert (await told(session))[-1] == ("changed", tag.id, {"name": ["By another", "By this"]})

    async def test_a_row_that_the_session_deletes_is_told(self, database: Database, session: AsyncSession) -> None:
        post = await a_post(session, status=PostStatus.DRAFT, tags=[await a_tag(session)])
        async with database.transaction() as write:
            await write.delete((await write.exec(select(Post).where(Post.id == post.id))).one())
        link, gone = await told(session)
        assert link[0] == gone[0] == "deleted"
        assert link[1:] == (post.id, {"post_id": [post.id, None], "tag_id": [1, None]} | link[2])
        assert gone[2]["status"] == ["draft", None]
        assert gone[2]["title"] is None


class TestKeyOfTwoColumns:
    async def test_links_are_told_by_the_first_column_of_their_key(
        self, database: Database, session: AsyncSession
    ) -> None:
        post, tags = await a_post(session), [await a_tag(session) for _ in range(2)]
        async with database.transaction() as write:
            write.add_all(PostTag(post_id=post.id, tag_id=tag.id) for tag in tags)
        async with database.transaction() as write:
            await write.exec(delete(PostTag).where(col(PostTag.tag_id) == tags[0].id))
        assert (await told(session))[-1] == (
            "deleted",
            post.id,
            {"post_id": [post.id, None], "tag_id": [tags[0].id, None]},
        )


class TestForeignKeys:
    async def test_children_of_a_deleted_row_are_told(self, database: Database, session: AsyncSession) -> None:
        parent = await a_category(session)
        child, product = await a_category(session, parent=parent), await a_product(session, category=parent)
        async with database.transaction() as write:
            await write.exec(delete(Category).where(col(Category.id) == parent.id))
        found = [(each.entity, each.row_id, each.changes) for each in await rows_of(session, AuditEntry)]
        assert ("categories", child.id, {"parent_id": [parent.id, None]}) in found
        assert ("products", product.id, {"category_id": [parent.id, None]}) in found
        assert len(found) == 3

    async def test_nothing_is_told_of_rows_that_stay(self, database: Database, session: AsyncSession) -> None:
        await a_post(session, await a_user(session))
        async with database.transaction() as write:
            await write.exec(delete(Post).where(col(Post.id) == 0))
        assert await told(session) == []
