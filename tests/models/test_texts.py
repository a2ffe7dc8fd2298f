"""Texts that clients send: composed, without white space around them, and without control characters."""

import re
import unicodedata
from typing import Any

import pytest
from httpx import AsyncClient
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import CategoryCreate
from api.models.texts import LINE, LINES, WHITE_SPACE, Text, composed
from tests.factories import a_category, a_product, a_user, order_body
from tests.support import assert_refused

COMPOSED, DECOMPOSED = "Caf\u00e9", "Cafe\u0301"
CONTROLS = [chr(each) for each in range(0xA0) if unicodedata.category(chr(each)) == "Cc" and each]
LINE_BREAKS = "\t\n\r\x85"

TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "/categories": ({}, "name"),
    "/tags": ({}, "name"),
    "/products": ({"price": 1, "sku": "A-1"}, "name"),
    "/posts": ({"content": "x"}, "title"),
    "/auth/keys": ({"expires_in_days": 1}, "name"),
}
"""A route that takes a name, what else it takes, and the field."""


class TestLine:
    @pytest.mark.parametrize("path", TEXTS)
    async def test_a_name_is_stored_composed_and_without_white_space_around_it(
        self, as_staff: AsyncClient, path: str
    ) -> None:
        others, field = TEXTS[path]
        created = await as_staff.post(path, json={**others, field: f"\u3000\x85{DECOMPOSED} au  lait\n"})
        assert created.status_code == 201, created.text
        assert created.json()[field] == f"{COMPOSED} au  lait"

    @pytest.mark.parametrize("path", TEXTS)
    async def test_control_characters_within_a_name_are_refused(self, as_staff: AsyncClient, path: str) -> None:
        others, field = TEXTS[path]
        for text in ("a\x02b", "a\nb", "a\x85b", "a\u2028b", "\x1cab", "ab\x7f"):
            refused = await as_staff.post(path, json={**others, field: text})
            assert_refused(refused, 422, "must be one line, without control characters")

    async def test_two_spellings_of_a_name_are_one_name(self, as_staff: AsyncClient) -> None:
        for path in ("/categories", "/tags"):
            assert (await as_staff.post(path, json={"name": COMPOSED})).status_code == 201
            assert_refused(await as_staff.post(path, json={"name": DECOMPOSED}), 409)

    @pytest.mark.parametrize("letter", ["x", " ", "\x85", "\u3000"])
    async def test_the_length_counts_as_it_is_sent(self, as_staff: AsyncClient, letter: str) -> None:
        """So the document's `maxLength` is what is taken: in a tag, 50."""
        assert (await as_staff.post("/tags", json={"name": letter.rjust(50, "a")})).status_code == 201
        assert_refused(await as_staff.post("/tags", json={"name": letter.rjust(51, "a")}), 422, "at most 50 characters")

    async def test_a_text_that_grows_when_it_is_composed_is_refused_with_the_length_that_it_would_have(
        self, as_staff: AsyncClient
    ) -> None:
        """U+0958 is one letter as it is sent, and two as it is stored."""
        assert (await as_staff.post("/tags", json={"name": "\u0958" * 25})).status_code == 201
        refused = await as_staff.post("/tags", json={"name": "\u0958" * 26})
        assert_refused(refused, 422, "at most 50 characters; it has 52 in Unicode's composed form")

    def test_every_control_character_is_known(self) -> None:
        for each in CONTROLS:
            with pytest.raises(ValidationError):
                CategoryCreate(name=f"a{each}b")
            if each in LINE_BREAKS:
                assert CategoryCreate(name="Audio", description=f"a{each}b").description == f"a{each}b"
            else:
                with pytest.raises(ValidationError):
                    CategoryCreate(name="Audio", description=f"a{each}b")

    def test_white_space_is_what_unicode_calls_so(self) -> None:
        controls_that_python_strips = "\x1c\x1d\x1e\x1f"
        spaces = {chr(each) for each in range(0x3001) if chr(each).isspace()} - set(controls_that_python_strips)
        assert spaces == set(WHITE_SPACE)
        assert composed(f"{WHITE_SPACE}{DECOMPOSED}{WHITE_SPACE}") == COMPOSED


class TestLines:
    async def test_a_description_keeps_its_line_breaks_and_tabs(self, as_staff: AsyncClient) -> None:
        sent = {"name": "Audio", "description": f"One\r\n\ttwo\n\n{DECOMPOSED}\n"}
        created = (await as_staff.post("/categories", json=sent)).json()
        assert created["description"] == f"One\n\ttwo\n\n{COMPOSED}"

    async def test_other_control_characters_are_refused(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.post("/categories", json={"name": "Audio", "description": "a\x1bb"})
        assert_refused(refused, 422, "must not contain control characters other than line breaks and tabs")


@pytest.mark.parametrize("text", [LINE, LINES], ids=["line", "lines"])
def test_the_pattern_in_the_document_allows_what_is_taken_and_nothing_else(text: Text) -> None:
    """Each letter before, within and after a text: white space that is a control character is dropped at the edges."""
    for each in (*map(chr, range(0x100)), *WHITE_SPACE, "\u2028", "\u0958"):
        for sent in (each, f"{each}a", f"a{each}b", f"a{each}", f"{each}\n{each}a"):
            try:
                stored = text.prepared(sent, None)
            except ValueError:
                assert not re.search(text.pattern, sent), f"{sent!r} is refused"
                assert not re.search(text.pattern_if_required, sent), f"{sent!r} is refused"
            else:
                assert re.search(text.pattern, sent), f"{sent!r} is taken"
                assert bool(re.search(text.pattern_if_required, sent)) == bool(stored), (
                    f"{sent!r} is stored as {stored!r}"
                )


class TestStoredTexts:
    @pytest.mark.parametrize("text", ["control \x01 \x1f", "two\nlines", DECOMPOSED])
    async def test_what_was_stored_under_other_rules_is_answered_as_it_is(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, text: str
    ) -> None:
        category = await a_category(session, text)
        product = await a_product(session, text, category, stock_quantity=1)

        order = await as_customer.post("/orders", json=order_body((product, 1)))
        assert order.status_code == 201, order.text
        assert order.json()["items"][0]["product_name"] == text
        (of_order,) = (await as_staff.get("/orders/stats/summary")).json()["by_category"]
        of_products = (await as_staff.get("/products/stats/by-category")).json()
        assert of_order["category"] == text
        assert text in [each["category"] for each in of_products]
        changed = await as_staff.patch(f"/products/{product.id}", json={"price": 2})
        assert (changed.status_code, changed.json()["name"]) == (200, text)


class TestLookingUp:
    @pytest.mark.parametrize("name", ["JohnDoe", " johndoe ", "JOHN@example.com\t", "john@EXAMPLE.com "])
    async def test_a_user_signs_in_however_the_name_is_typed(self, client: AsyncClient, name: str) -> None:
        user = {"username": "JohnDoe", "email": " John@Example.com ", "password": "SecurePass123"}
        registered = await client.post("/users", json=user)
        assert (registered.json()["username"], registered.json()["email"]) == ("johndoe", "john@example.com")

        signed_in = await client.post("/auth/token", data={"username": name, "password": "SecurePass123"})

        assert signed_in.status_code == 200

    async def test_a_username_is_taken_in_any_case(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "admin")
        for username in ("Admin", "ADMIN"):
            user = {"username": username, "email": "john@example.com", "password": "SecurePass123"}
            assert_refused(await client.post("/users", json=user), 409, "username")

    @pytest.mark.parametrize("email", [" john@example.com", "JOHN@example.com "])
    async def test_an_address_is_found_however_it_is_typed(
        self, as_staff: AsyncClient, session: AsyncSession, email: str
    ) -> None:
        await a_user(session, "john", email="john@example.com")
        assert (await as_staff.get(f"/users/by-email/{email}")).json()["username"] == "john"

    @pytest.mark.parametrize("path", ["/products/by-sku/ wh-001 ", "/products/by-slug/headphones "])
    async def test_a_product_is_found_with_white_space_around_its_number(
        self, client: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        await a_product(session, sku="WH-001", slug="headphones")
        assert (await client.get(path)).status_code == 200
