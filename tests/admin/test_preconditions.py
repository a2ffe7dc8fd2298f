"""Two people edit one row: the second one is told, and sees both values."""

from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

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
