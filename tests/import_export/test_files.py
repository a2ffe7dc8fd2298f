"""Reading files: the habits of spreadsheets are taken, and what cannot be read is refused with its line."""

import io
from itertools import pairwise

import pytest

from api.import_export.files import MAX_RECORD, BrokenFile, Lines, RawRow, csv_rows, json_rows, parts

KNOWN = ["sku", "name", "price"]


def read(content: bytes) -> list[RawRow]:
    _, rows = csv_rows(Lines(io.BytesIO(content)), KNOWN)
    return [row for row in rows if row is not None]


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
        (b"sku,name\nA-1," + b"x" * (MAX_RECORD + 1), 2, "is longer than 1,048,576 bytes"),
        (b"sku,name\nA-1,One\nA-2" + (b',"' + b"x" * 100 + b'\n"') * 15_000, 3, "is longer than 1,048,576 bytes"),
        (b'sku,name\nA-1,One\nA-2,"' + b"\n" * 20_000 + b'"\n', 3, "is a row of more than 20,000 lines"),
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


def test_a_row_that_is_too_long_is_refused_before_all_of_it_is_read() -> None:
    lines = Lines(io.BytesIO(b"sku,name\nA-2" + (b',"' + b"x" * 1_000 + b'\n"') * 5_000))
    _, rows = csv_rows(lines, KNOWN)
    with pytest.raises(BrokenFile):
        next(rows)
    assert lines.bytes_read < 1.1 * MAX_RECORD


@pytest.mark.parametrize("empty", [b"\n", b",\n", b" \r\n"], ids=ascii)
@pytest.mark.parametrize("is_csv", [True, False])
def test_empty_lines_are_read_a_few_at_a_time(empty: bytes, is_csv: bool) -> None:
    """Between two parts others have their turn."""
    if is_csv:
        lines = Lines(io.BytesIO(b"sku,name\n" + empty * 10_000 + b"A-1,One\n"))
        _, rows = csv_rows(lines, KNOWN)
    else:
        lines = Lines(io.BytesIO(b"\n" * 10_000 + b'{"sku": "A-1"}\n'))
        rows = json_rows(lines)
    numbers, found = [0], []
    for part in parts(lines, rows):
        numbers.append(lines.number)
        found += part
    assert max(end - begin for begin, end in pairwise(numbers)) <= 201
    assert [row.values["sku"] for row in found if not row.problem and "sku" in row.values][-1:] == ["A-1"]


def test_long_rows_are_read_a_few_at_a_time() -> None:
    row = b'{"sku": "A-1", "name": "' + b"x" * 300_000 + b'"}\n'
    lines = Lines(io.BytesIO(row * 10))
    assert [len(part) for part in parts(lines, json_rows(lines))] == [4, 4, 2]


def test_json_lines_are_objects_and_wrong_lines_are_refused_alone() -> None:
    content = b'{"sku": "A-1"}\n\n[1]\n{"a": 1, "a": 2}\n{"a": ' + b"9" * 5_000 + b"}\n{\n{}\n"
    rows = [row for row in json_rows(Lines(io.BytesIO(content))) if row is not None]
    assert [row.line for row in rows] == [1, 3, 4, 5, 6, 7]
    assert rows[0].values == {"sku": "A-1"}
    assert [bool(row.problem) for row in rows] == [False, True, True, True, True, False]
