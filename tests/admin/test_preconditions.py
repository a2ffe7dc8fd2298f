"""Two people edit one row: the second one is told, and sees both values."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Unavailable
from api.models.product import Product
from api.reads import rows
from tests.admin.support import Browser, fields_of, words_of
from tests.factories import a_product


async def test_an_edit_of_what_somebody_else_has_changed_is_refused_and_shows_both_values(
    admin: Browser, as_staff: AsyncClient, session: AsyncSession
) -> None:
    product = await a_product(session, "Radio", price="5.00", stock_quantity=5)
    path = f"/products/{product.id}/edit"
    opened = fields_of(await admin.open(path))
    await as_staff.patch(f"/products/{product.id}", json={"price": "6.00"})

    refused = await admin.post(f"/admin{path}", data={**opened, "body.price": "7.00", "body.name": "Radio Two"})

    assert refused.status_code == 412
    assert "Somebody else has changed this meanwhile." in words_of(refused.text)
    assert "Now: 6.00" in words_of(refused.text)
    assert "Now: Radio" not in words_of(refused.text)
    again = fields_of(refused.text)
    assert again["body.price"] == "7.00"
    assert (await admin.post(f"/admin{path}", data=again)).status_code == 303
    await session.refresh(product)
    assert (product.name, str(product.price)) == ("Radio Two", "7.00")


async def test_what_only_somebody_else_has_changed_stays(
    admin: Browser, as_staff: AsyncClient, session: AsyncSession
) -> None:
    product = await a_product(session, "Radio", price="5.00")
    path = f"/products/{product.id}/edit"
    opened = fields_of(await admin.open(path))
    await as_staff.patch(f"/products/{product.id}", json={"price": "6.00"})

    refused = await admin.post(f"/admin{path}", data={**opened, "body.name": "Radio Two"})
    assert refused.status_code == 412
    again = fields_of(refused.text)
    assert (again["body.price"], again["body.name"]) == ("6.00", "Radio Two")
    assert (await admin.post(f"/admin{path}", data=again)).status_code == 303

    await session.refresh(product)
    assert (product.name, str(product.price)) == ("Radio Two", "6.00")


async def test_what_was_edited_meanwhile_is_not_deleted_unseen(
    admin: Browser, as_staff: AsyncClient, session: AsyncSession
) -> None:
    product = await a_product(session, "Radio")
    path = f"/products/{product.id}/delete"
    opened = fields_of(await admin.open(path))
    await as_staff.patch(f"/products/{product.id}", json={"description": "Signed by the band"})

    refused = await admin.post(f"/admin{path}", data=opened)

    assert refused.status_code == 412
    assert "Look at it again before you delete it." in words_of(refused.text)
    assert (await session.exec(select(Product.id))).all() == [product.id]
    assert (await admin.post(f"/admin{path}", data=fields_of(refused.text))).status_code == 303
    assert (await session.exec(select(Product.id))).all() == []


async def test_the_page_of_a_row_that_cannot_be_read_now_says_so(
    admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is busy is no missing page."""
    product = await a_product(session, "Radio")

    async def busy(*_: Any, **__: Any) -> Any:
        raise Unavailable("The database is busy.")

    monkeypatch.setattr(rows, "fetch_planned", busy)
    response = await admin.get(f"/admin/products/{product.id}/edit")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "The database is busy." in words_of(response.text)


async def test_a_sale_between_opening_and_saving_refuses_no_edit(
    admin: Browser, as_staff: AsyncClient, session: AsyncSession
) -> None:
    product = await a_product(session, "Radio", stock_quantity=5)
    path = f"/products/{product.id}/edit"
    opened = fields_of(await admin.open(path))
    order = {"items": [{"product_id": product.id, "quantity": 2}]}
    assert (await as_staff.post("/orders", json=order)).status_code == 201
    saved = await admin.post(f"/admin{path}", data={**opened, "body.name": "Radio Two"})
    assert saved.status_code == 303
    await session.refresh(product)
    assert (product.name, product.stock_quantity) == ("Radio Two", 3)
