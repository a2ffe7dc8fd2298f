"""One of ten simultaneous requests with the same unique value succeeds, and nine are refused with 409.

The cases follow from the unique constraints of the tables and from the routes that add rows to them. A value that must
not matter to the case, such as the SKU where the slug is unique, is another one in each request.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Table, UniqueConstraint
from sqlmodel import SQLModel

from tests.house.hostile_cases import DOCUMENT, WITH_JSON
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender

pytestmark = pytest.mark.hostile


def unique_columns(table: Table) -> list[list[str]]:
    """The columns of each unique constraint of a table, in a fixed order."""
    constraints = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    return sorted([column.name for column in each.columns] for each in constraints)


def cases() -> Iterator[Any]:
    """Every POST whose body has all columns of a unique constraint; the path ends with the name of the table."""
    for operation in WITH_JSON:
        table = SQLModel.metadata.tables.get(operation.path.rpartition("/")[2])
        fields = DOCUMENT.resolved(operation.body).get("properties", {})
        if operation.method == "POST" and table is not None:
            for columns in unique_columns(table):
                if fields.keys() >= set(columns):
                    yield pytest.param(operation, table, columns, id=f"{table.name}.{'+'.join(columns)}")


def test_every_known_unique_constraint_is_a_case() -> None:
    assert {case.id for case in cases()} >= {
        *("users.username", "users.email", "categories.name", "categories.slug", "products.sku", "products.slug"),
        *("products.category_id+name", "tags.name", "tags.slug", "posts.slug", "payments.method+reference"),
    }


def body(example: dict[str, Any], table: Table, columns: list[str], number: int) -> dict[str, Any]:
    """The example, with other values in all unique columns except these; an e-mail address in another case."""
    others = {name for names in unique_columns(table) for name in names if name not in columns}
    changed = {name: f"{number}{example[name]}" for name in others if isinstance(example.get(name), str)}
    if "email" in columns and number % 2:
        changed["email"] = f"{example['email'][0].upper()}{example['email'][1:]}"
    return {**example, **changed}


@pytest.mark.parametrize(("operation", "table", "columns"), list(cases()))
async def test_one_of_ten_simultaneous_requests_with_the_same_unique_value_succeeds(
    sender: Sender, operation: Operation, table: Table, columns: list[str]
) -> None:
    await sender.restore()
    path, example = operation.path.format_map(sender.path(operation)), sender.body(operation)

    sent = (sender.post(path, body(example, table, columns, number)) for number in range(10))
    responses = await asyncio.gather(*sent)

    assert sorted(response.status_code for response in responses) == [201] + [409] * 9
    refused = [response.json()["detail"] for response in responses if response.is_error]
    assert all("already exists" in detail for detail in refused), refused
