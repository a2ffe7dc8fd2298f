"""A year and a half of orders, the Northwind sample, goes through the API; then the statistics equal the files.

The files are not part of this repository. The test is skipped where they are absent.
"""

import csv
import os
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.product import Product
from tests.support import PASSWORD

FOLDER = Path(os.environ.get("NORTHWIND", "northwind")).resolve()
TOTAL = Decimal("1449062.31")

pytestmark = pytest.mark.skipif(
    not (FOLDER / "orders.csv").is_file(),
    reason="the Northwind files are absent; the environment variable NORTHWIND names their folder",
)

Rows = list[dict[str, str]]


def read(name: str) -> Rows:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def send(client: AsyncClient, method: str, path: str, body: Any, status: int = 201) -> Any:
    response = await client.request(method, path, json=body)
    assert response.status_code == status, response.text
    return response.json()


async def add_categories(as_staff: AsyncClient, rows: Rows) -> dict[str, int]:
    """Add the categories, and return their ids by name."""
    return {row["name"]: (await send(as_staff, "POST", "/categories", row))["id"] for row in rows}


async def add_products(as_staff: AsyncClient, rows: Rows, categories: dict[str, int]) -> dict[str, int]:
    """Add the products, and return their ids by SKU. All are active at first: an inactive product cannot be ordered."""
    products = [
        {
            "sku": row["sku"],
            "name": row["name"],
            "price": row["price"],
            "stock_quantity": int(row["stock_quantity"]),
            "category_id": categories[row["category"]],
            "attributes": {"quantity_per_unit": row["quantity_per_unit"]},
        }
        for row in rows
    ]
    return {each["sku"]: each["id"] for each in await send(as_staff, "POST", "/products/bulk", products)}


async def add_customers(as_staff: AsyncClient, rows: Rows) -> dict[str, int]:
    """Add the customers, and return their ids by code."""
    customers = [
        {
            "username": row["code"].lower(),
            "email": f"{row['code'].lower()}@example.com",
            "full_name": row["contact"],
            "bio": f"{row['company']}, {row['city']}, {row['country']}",
            "password": PASSWORD,
        }
        for row in rows
    ]
    return {each["username"]: each["id"] for each in await send(as_staff, "POST", "/users/bulk", customers)}


async def test_stock_and_statistics_agree_with_the_files(as_staff: AsyncClient, session: AsyncSession) -> None:
    await session.exec(delete(Category))
    rows, orders, lines = read("products"), read("orders"), read("order_lines")
    categories = await add_categories(as_staff, read("categories"))
    products = await add_products(as_staff, rows, categories)
    customers = await add_customers(as_staff, read("customers"))
    assert [len(each) for each in (categories, products, customers, orders, lines)] == [8, 77, 91, 830, 2_155]

    sold: Counter[str] = Counter()
    lines_of: defaultdict[str, list[dict[str, int]]] = defaultdict(list)
    for line in lines:
        sold[line["sku"]] += int(line["quantity"])
        lines_of[line["order_id"]].append({"product_id": products[line["sku"]], "quantity": int(line["quantity"])})
    for sku, units in sold.items():
        delivery = {"delta": units, "reason": "Units for all orders"}
        await send(as_staff, "POST", f"/products/{products[sku]}/stock", delivery)
    stock = select(Product.sku, Product.stock_quantity)
    before = dict((await session.exec(stock)).all())

    for order in orders:
        body = {
            "items": lines_of[order["order_id"]],
            "user_id": customers[order["customer"].lower()],
            "shipping_address": order["shipping_address"],
        }
        await send(as_staff, "POST", "/orders", body)
    for row in rows:
        if row["is_active"] == "false":
            await send(as_staff, "PATCH", f"/products/{products[row['sku']]}", {"is_active": False}, 200)

    after = dict((await session.exec(stock)).all())
    assert after == {sku: units - sold[sku] for sku, units in before.items()}
    assert after == {row["sku"]: int(row["stock_quantity"]) for row in rows}
    await assert_statistics_agree(as_staff, rows, sold, categories)


async def assert_statistics_agree(
    as_staff: AsyncClient, rows: Rows, sold: Counter[str], categories: dict[str, int]
) -> None:
    units: Counter[str] = Counter()
    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        units[row["category"]] += sold[row["sku"]]
        revenue[row["category"]] += sold[row["sku"]] * Decimal(row["price"])
    assert sum(revenue.values()) == TOTAL

    summary = await send(as_staff, "GET", "/orders/stats/summary", None, 200)

    assert (summary["total_orders"], summary["total_revenue"]) == (830, str(TOTAL))
    assert summary["average_order_value"] == str(round(TOTAL / 830, 2))
    assert [each for each in summary["by_status"] if each["orders"]] == [
        {"status": "pending", "orders": 830, "amount": str(TOTAL), "refunded_amount": "0.00"}
    ]
    assert summary["by_category"] == [
        {
            "category_id": categories[name],
            "category": name,
            "units": units[name],
            "gross_revenue": str(revenue[name]),
            "refunded_amount": "0.00",
            "revenue": str(revenue[name]),
        }
        for name in sorted(categories)
    ]
    active = {row["sku"] for row in rows if row["is_active"] == "true"}
    assert (await send(as_staff, "GET", "/products?is_active=true", None, 200))["total"] == len(active)
