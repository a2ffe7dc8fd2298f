"""Reading files: the habits of spreadsheets are taken, and what cannot be read is refused with its line."""

import io

import pytest

from api.import_export.files import MAX_LINE, BrokenFile, Lines, RawRow, csv_rows, json_rows

KNOWN = ["sku", "name", "price"]


def read(content: bytes) -> list[RawRow]:
    _, rows = csv_rows(Lines(io.BytesIO(content)), KNOWN)
    return list(rows)


@pytest.mark.parametrize(
    "content",
    [
        b"sku,name\nA-1,One\n",
        b"sku,name\r\nA-1,One\r\n",
        b"sku,name\nA-1,One",
        b"\xef\xbb\xbfsku,name\nA-1,One\n",
        b"sku;name\nA-1;One\n",
        b"sku\tname\nA-1\tOne\n",
        b' SKU , "Name"\nA-1,One\n'.replace(b', "', b',"'),
        b"sku,name,,\nA-1,One,,\n",
        b"sku,name\n\nA-1,One\n,\n\n",
    ],
    ids=ascii,
)
def test_a_file_of_a_spreadsheet_is_read(content: bytes) -> None:
    (row,) = read(content)
    assert row.values == {"sku": "A-1", "name": "One"}


def test_a_row_is_known_by_the_line_that_it_begins_at() -> None:
    rows = read(b'sku,name\nA-1,"two\nlines"\n\nA-2,"a ""quoted"" one"\nA-3,x\n')
    assert [(row.line, row.values["name"]) for row in rows] == [(2, "two\nlines"), (5, 'a "quoted" one'), (6, "x")]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "is empty"),
        (b"\n", 1, "is empty"),
        (b"sku,sku\n", 1, "names the column `sku` twice"),
        (b"sku,,name\n", 1, "has no name for column 2"),
        (b"," * 500 + b"x", 1, "names more than 200 columns"),
        ("sku,name\nA-1,One\n".encode("utf-16"), 1, "UTF-16"),
        ("sku,name\nA-1,One\n".encode("utf-16-le"), 1, "UTF-16"),
        ("sku,name\nA-1,Ünder\n".encode("latin-1"), 2, "is not encoded as UTF-8"),
        (b'sku,name\nA-1,"never closed\nA-2,x\n', 2, "a quotation mark is never closed"),
        (b'sku,name\nA-1,"x" y\n', 2, "a quotation mark stands within a cell"),
        (b"sku,name\rA-1,One\r", 1, "old Macs"),
        (b"sku,name\nA-1," + b"x" * 200_000 + b"\n", 2, "a cell is too long"),
        (b"sku,name\nA-1," + b"x" * (MAX_LINE + 1), 2, "is longer than 1,048,576 bytes"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line(content: bytes, line: int, message: str) -> None:
    with pytest.raises(BrokenFile) as refused:
        read(content)
    assert refused.value.field == f"line {line}"
    assert message in refused.value.message


@pytest.mark.parametrize(("row", "cells"), [("A-1", 1), ("A-1,One,more", 3)])
def test_a_row_with_too_many_or_too_few_cells_is_refused_alone(row: str, cells: int) -> None:
    bad, good = read(f"sku,name\n{row}\nA-2,Two\n".encode())
    assert bad.problem == f"has {cells} cells, and the first line names 2 columns"
    assert good.values == {"sku": "A-2", "name": "Two"}


def test_json_lines_are_objects_and_wrong_lines_are_refused_alone() -> None:
    content = b'{"sku": "A-1"}\n\n[1]\n{"a": 1, "a": 2}\n{"a": ' + b"9" * 5_000 + b"}\n{\n{}\n"
    rows = list(json_rows(Lines(io.BytesIO(content))))
    assert [row.line for row in rows] == [1, 3, 4, 5, 6, 7]
    assert rows[0].values == {"sku": "A-1"}
    assert [bool(row.problem) for row in rows] == [False, True, True, True, True, False]
