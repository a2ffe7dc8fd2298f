"""Reading files: the rows of CSV or JSON Lines, one after the other, each with the line that it begins at.

Spreadsheets have habits: a byte order mark, semicolons or tabs in place of commas, cells with line breaks, empty rows
at the end, other encodings. What can be read is read; what cannot is refused with what to do instead.
"""

import codecs
import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from api.errors import Unprocessable
from api.import_export.cells import read_json

MAX_LINE = 1_048_576
"""Bytes of one line, and characters of one row: as much as a request of the API has by default."""

MAX_COLUMNS = 200

DELIMITERS = ",;\t"

SAVE_AS_UTF_8 = "save it as “CSV UTF-8”"

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class RawRow(NamedTuple):
    """A row as it stands in the file: of CSV the cells by their columns, of JSON Lines the values."""

    line: int
    values: dict[str, Any]
    problem: str | None = None
    """Why it could not be read; the rows after it can be."""


class BrokenFile(Unprocessable):
    """The file cannot be read from some line on, so nothing of it is imported."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}", message)


class Lines:
    """The lines of a file as text, and the number of the last one that was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        while read := self._file.readline(MAX_LINE + 1):
            self.number += 1
            self.bytes_read += len(read)
            if len(read) > MAX_LINE:
                raise BrokenFile(self.number, f"is longer than {MAX_LINE:,} bytes")
            if self.number == 1:
                read = self._without_mark(read)
            try:
                yield read.decode()
            except UnicodeDecodeError:
                raise BrokenFile(self.number, f"is not encoded as UTF-8: {SAVE_AS_UTF_8}") from None

    def _without_mark(self, read: bytes) -> bytes:
        if read.startswith(UTF_16) or b"\0" in read:
            raise BrokenFile(1, f"is not encoded as UTF-8 but as UTF-16: {SAVE_AS_UTF_8}")
        return read.removeprefix(codecs.BOM_UTF8)


def csv_rows(lines: Lines, known: Sequence[str]) -> tuple[list[str], Iterator[RawRow]]:
    """The columns of a CSV file, and its rows.

    Raises:
        BrokenFile: The header is missing or wrong, a quotation mark is never closed, a line cannot be read.
    """
    text = iter(lines)
    header = next(text, "")
    if not header.strip():
        raise BrokenFile(1, "is empty: the first line has to name the columns")
    delimiter = _delimiter_of(header, known)
    columns = _columns(_cells(header, delimiter))
    return columns, _csv_rows_of(lines, text, columns, delimiter)


def _csv_rows_of(lines: Lines, text: Iterator[str], columns: Sequence[str], delimiter: str) -> Iterator[RawRow]:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BrokenFile(line, f"cannot be read as CSV: {_in_words(error)}") from None
        if any(cells):
            yield _row(line, columns, cells)


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> RawRow:
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        return RawRow(line, {}, f"has {len(cells)} cells, and the first line names {len(columns)} columns")
    if sum(map(len, cells)) > MAX_LINE:
        return RawRow(line, {}, f"has more than {MAX_LINE:,} characters")
    return RawRow(line, dict(zip(columns, cells, strict=False)))


def _delimiter_of(header: str, known: Sequence[str]) -> str:
    """The one that makes the most known columns of the header; a comma where none does."""
    found = {each: len(set(_names(_cells(header, each))) & set(known)) for each in DELIMITERS}
    return max(found, key=lambda each: found[each])


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter))
    except csv.Error as error:
        raise BrokenFile(1, f"cannot be read as CSV: {_in_words(error)}") from None


def _names(cells: Sequence[str]) -> list[str]:
    return [each.strip().lower() for each in cells]


def _columns(cells: Sequence[str]) -> list[str]:
    """The names of the columns; spreadsheets may leave empty ones behind the last."""
    names = _names(cells)
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise BrokenFile(1, f"names more than {MAX_COLUMNS} columns")
    if "" in names:
        raise BrokenFile(1, f"has no name for column {names.index('') + 1}")
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise BrokenFile(1, f"names the column {shown(twice)} twice")
    return names


def _in_words(error: csv.Error) -> str:
    known = {
        "unexpected end of data": "a quotation mark is never closed",
        "field larger than field limit": "a cell is too long, or a quotation mark is never closed",
        "new-line character seen": "its lines end as on old Macs, by CR alone: save it as CSV again",
        "expected after": "a quotation mark stands within a cell: write it twice, and the cell in quotation marks",
    }
    return next((words for text, words in known.items() if text in str(error)), str(error))


def json_rows(lines: Lines) -> Iterator[RawRow]:
    """The rows of a JSON Lines file: one object a line; empty lines are skipped.

    Raises:
        BrokenFile: A line is too long, or is not encoded as UTF-8.
    """
    for text in lines:
        if text.strip():
            yield _json_row(lines.number, text)


def _json_row(line: int, text: str) -> RawRow:
    try:
        values = read_json(text)
    except ValueError as error:  # also of a number with too many digits, which Python does not read
        known = str(error).startswith("is not valid JSON")
        return RawRow(line, {}, str(error) if known else "is not valid JSON: a number has too many digits")
    if not isinstance(values, dict):
        return RawRow(line, {}, "is not a JSON object")
    if len(values) > MAX_COLUMNS:
        return RawRow(line, {}, f"has more than {MAX_COLUMNS} fields")
    return RawRow(line, values)


def shown(name: str) -> str:
    """A name out of a file as a message can repeat it."""
    return f"`{name[:60].encode('utf-8', 'backslashreplace').decode()}`"


def take(rows: Iterator[RawRow], count: int) -> list[RawRow]:
    """The next rows."""
    return list(islice(rows, count))
