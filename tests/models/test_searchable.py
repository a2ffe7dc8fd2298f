"""Folded texts: what a search compares, and where it is stored."""

import sys
import unicodedata

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.post import Post
from api.models.product import Product
from api.models.searchable import Searchable, fold
from api.models.tag import Tag
from api.models.user import User
from tests.factories import a_product
from tests.lists import names
from tests.world import write_rows


class TestFold:
    @pytest.mark.parametrize(
        ("text", "folded"),
        [
            ("ÉCOLE", "école"),
            ("Straße", "strasse"),
            ("İSTANBUL KAHVE", "istanbul kahve"),
            ("Cafe\u0301", "caf\u00e9"),
            ("\u212bngstr\u00f6m", "\u00e5ngstr\u00f6m"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("  two\t words\n", "two words"),
            ("", ""),
        ],
    )
    def test_case_accents_and_white_space_make_no_difference(self, text: str, folded: str) -> None:
        assert fold(text) == folded

    def test_each_letter_is_folded_like_its_upper_and_its_lower_case(self) -> None:
        letters = [chr(each) for each in range(sys.maxunicode + 1) if not 0xD800 <= each < 0xE000]
        for each in letters:
            assert fold(fold(each)) == fold(each)
            assert len(fold(each)) <= 3, "FoldedText would be too short"
            if each.upper().lower() == each.lower():  # not the Turkish i without a dot
                assert fold(each.upper()) == fold(each.lower()) == fold(each)
            assert fold(unicodedata.normalize("NFD", each)) == fold(unicodedata.normalize("NFC", each))


class TestSearchText:
    async def test_every_row_of_the_world_is_found_by_its_own_texts(self, session: AsyncSession) -> None:
        await write_rows(session)
        models: list[type[Searchable]] = [Category, Post, Product, Tag, User]
        for model in models:
            rows = (await session.exec(select(model))).all()
            assert rows
            for row in rows:
                assert row.search_text == "\n".join(fold(getattr(row, name) or "") for name in row.searched)
        assert set(models) == set(Searchable.__subclasses__())

    @pytest.mark.parametrize(
        ("name", "search"),
        [
            ("İSTANBUL KAHVE", "İSTANBUL KAHVE"),
            ("İSTANBUL KAHVE", "istanbul"),
            ("Cafe\u0301 au lait", "Caf\u00e9"),
            ("Caf\u00e9 au lait", "Cafe\u0301"),
            ("GROSSE STRASSE", "große straße"),
            ("Two  words", "two words"),
            ("x", " x "),
        ],
    )
    async def test_a_product_is_found_however_its_name_is_written(
        self, client: AsyncClient, session: AsyncSession, name: str, search: str
    ) -> None:
        await a_product(session, name)
        await a_product(session, "Another")

        for part in ({}, {"cursor": ""}, {"sort": "price"}):
            page = (await client.get("/products", params={"search": search, **part})).json()
            assert len(names(page)) == 1
            assert page.get("total", 1) == 1

    async def test_a_product_is_found_by_its_new_name_and_not_by_its_old_one(
        self, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Wireless Headphones")

        await as_staff.patch(f"/products/{product.id}", json={"name": "Loudspeaker"})

        for search, found in {"headphones": [], "LOUD": ["Loudspeaker"]}.items():
            assert names((await client.get("/products", params={"search": search})).json()) == found

    async def test_a_search_does_not_go_from_one_column_into_the_next(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "Audio", sku="WH-001")

        for search in ("audio wh", "audio\nwh", "audiowh"):
            assert names((await client.get("/products", params={"search": search})).json()) == []
