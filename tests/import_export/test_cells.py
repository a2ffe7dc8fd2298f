"""Cells of CSV: every value is the same again after it was written and read; nothing is run by a spreadsheet."""

import re

import pytest

from api.import_export.cells import cell_of, reader_of, unescaped
from api.models.product import ProductCreate

TEXTS = [
    *("", "'", "''", "=1+1", "'=1", "''=1", "'a", "a'b", "+49 30", "-", "--1", "@x", "\t=1", "\r=1", "\n", "'\n"),
    *("x;=HYPERLINK(1)", "x;'=1", "x;''=1", "x\t=1", "x\n@y", "x\r\n-y", "x;;+1", "=;=", ";=", "'\t'=1", "a;b", "a;'b"),
    *("x; =1", ";", ";'", "\n\n=1", "'x;=1", "-1;-1"),
    *("=", "'=", "-1", "-1.5", "1e5", "-1e5", "a=1", " =1", "'\t", "'''", "'-1", "null", "[1]", '"', "é"),
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_the_same_again(text: str) -> None:
    assert unescaped(cell_of(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+49", "@SUM(1)", "-x", "\t=1", "\r=1", "-1e5", "'=1"], ids=ascii)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    if text != "+49":
        within = re.sub("(?<=[\t\r])=", "'=", text)
        assert cell_of(text) == f"'{within}"
    assert cell_of(text)[0] not in "=+@\t\r"


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("ends", [";", "\t", ";\t\r\n"], ids=ascii)
def test_no_cell_begins_as_a_formula_does_where_a_spreadsheet_ends_cells_elsewhere(text: str, ends: str) -> None:
    for value in (text, {"a": text}):
        for part in re.split(f"[{ends}]", cell_of(value))[1:]:
            assert part[:1] not in {"=", "+", "-", "@"}


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_within_json_is_the_same_again(text: str) -> None:
    field = ProductCreate.model_fields["attributes"]
    assert reader_of(field)(cell_of({text: [text]})) == {text: [text]}


@pytest.mark.parametrize(("value", "cell"), [(None, ""), (True, "true"), (-2, "-2"), ("-2.50", "-2.50"), ("", "'")])
def test_numbers_stay_numbers_and_an_empty_text_is_not_null(value: object, cell: str) -> None:
    assert cell_of(value) == cell


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("is_active", "TRUE", True),
        ("is_active", "perhaps", "perhaps"),
        ("stock_quantity", " 12 ", 12),
        ("stock_quantity", "1.5", "1.5"),
        ("stock_quantity", "9" * 5_000, "9" * 5_000),
        ("price", " 79.99 ", "79.99"),
        ("attributes", '{"a": [1, null]}', {"a": [1, None]}),
        ("name", "'=1", "=1"),
        ("category_id", "3", 3),
    ],
)
def test_a_cell_is_read_as_the_type_of_its_field_asks_for(field: str, cell: str, value: object) -> None:
    assert reader_of(ProductCreate.model_fields[field])(cell) == value


@pytest.mark.parametrize(
    ("field", "cell", "message"),
    [
        ("price", "79,99", "decimal point"),
        ("price", "1.234,50", "decimal point"),
        ("price", "1,234.50", "separators between the thousands"),
        ("price", "1 234.50", "separators between the thousands"),
        ("stock_quantity", "1,000", "separators between the thousands"),
        ("stock_quantity", "1.000", "separators between the thousands"),
        ("attributes", "{'a': 1}", "is not valid JSON"),
        ("attributes", '{"a": NaN}', "is not valid JSON: NaN is no number"),
        ("attributes", '{"a": 1, "a": 2}', "the same name twice"),
        ("attributes", "[" * 100_000, "nested too deeply"),
        ("attributes", f'{{"a": {"9" * 5_000}}}', "a number has too many digits"),
    ],
)
def test_what_a_spreadsheet_writes_otherwise_is_refused_with_a_hint(field: str, cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader_of(ProductCreate.model_fields[field])(cell)
