"""No import gets a 500: every column is sent hostile values, as JSON and as cells, and nothing is half done.

The columns follow from the class families, so those of a new import are covered without a line here.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export.columns import columns_of, example_of
from api.import_export.imports import imports
from api.web.file_formats import FileFormat
from tests.factories import a_category, a_product
from tests.house.hostile_values import AMOUNTS, ANYTHING, DEEP, NUMBERS, OBJECTS, TEXTS
from tests.seed import all_rows

pytestmark = pytest.mark.hostile

VALUES = [*ANYTHING, *DEEP, *TEXTS, *NUMBERS, *AMOUNTS, *OBJECTS]


def json_lines(name: str, column: str) -> bytes:
    """A file whose rows have a hostile value in one column each."""
    row = json.loads(example_of(name, FileFormat.JSONL))
    rows = ({**row, column: "\0"} for _ in VALUES)
    lines = (json.dumps(each).replace('"\\u0000"', text) for each, text in zip(rows, VALUES, strict=True))
    return "\n".join(lines).encode()


def cells(name: str, column: str) -> bytes:
    (row,) = csv.DictReader(io.StringIO(example_of(name, FileFormat.CSV), newline=""))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(dict.fromkeys([*row, column])))
    writer.writeheader()
    writer.writerows({**row, column: text} for text in texts())
    return file.getvalue().encode("utf-8", "surrogatepass")


def texts() -> Iterator[str]:
    for text in VALUES:
        yield text
        value = json.loads(text)
        if isinstance(value, str) and value.isprintable() and len(value) < 1_000:
            yield value


def cases() -> list[Any]:
    """Every column of every import."""
    return [
        pytest.param(name, column, id=f"{name}.{column}")
        for name in imports()
        for column in columns_of(imports()[name]).known
    ]


@pytest.mark.parametrize(("name", "column"), cases())
async def test_hostile_values_of_a_column_are_taken_or_named(
    as_staff: AsyncClient, session: AsyncSession, name: str, column: str
) -> None:
    await a_product(session, sku="WH-001", category=await a_category(session))
    before = await all_rows(session)
    for content, media_type in ((json_lines(name, column), "application/jsonl"), (cells(name, column), "text/csv")):
        headers = {"Content-Type": media_type}
        whole = await as_staff.post(f"/imports/{name}", content=content, headers=headers)
        assert whole.status_code in {409, 422}, whole.text
        assert await all_rows(session) == before, "a refused file changed something"
        part = await as_staff.post(f"/imports/{name}?skip_bad_rows=true", content=content, headers=headers)
        assert part.status_code in {200, 409, 422}, part.text
        before = await all_rows(session)
