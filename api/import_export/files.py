"""Reading files: the rows of CSV or JSON Lines, one after the other, each with the line that it begins at.

Spreadsheets have habits: a byte order mark, semicolons or tabs in place of commas, cells with line breaks, empty rows
at the end, other encodings. What can be read is read; what cannot is refused with what to do instead.
"""

import codecs
import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from api.errors import Unprocessable
from api.import_export.cells import read_json

MAX_RECORD = 1_048_576
"""Bytes of one row, which in CSV may have several lines: as much as a request of the API has by default."""

ROWS_AT_A_TIME = 200
"""Rows that are checked together, empty ones too: some 15 ms in which no other request is answered."""

BYTES_AT_A_TIME = 1_048_576
"""Bytes after which no other row is added to these, or the rows of one part could take any amount of memory."""

MAX_LINES = 20_000
"""Lines of one row. Reading a megabyte of line breaks would take half a second in which no request is answered; the
longest text of a cell is 5,000 characters."""

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
        self._begin = (1, 0)
        """The first line of the row that is being read, and the bytes before it."""

    def begin_row(self) -> int:
        """Say that the next line begins a row, and return its number."""
        self._begin = (self.number + 1, self.bytes_read)
        return self.number + 1

    def __iter__(self) -> Iterator[str]:
        while read := self._file.readline(MAX_RECORD + 1 - (self.bytes_read - self._begin[1])):
            self.number += 1
            self.bytes_read += len(read)
            if self.bytes_read - self._begin[1] > MAX_RECORD:  # before `csv` has made its cells
                raise BrokenFile(self._begin[0], f"is longer than {MAX_RECORD:,} bytes")
            if self.number - self._begin[0] >= MAX_LINES:
                raise BrokenFile(self._begin[0], f"is a row of more than {MAX_LINES:,} lines")
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


Rows = Iterator[RawRow | None]
"""`None` is an empty row. It is no row of the file, and yet takes time to read."""


def csv_rows(lines: Lines, known: Sequence[str]) -> tuple[list[str], Rows]:
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


def _csv_rows_of(lines: Lines, text: Iterator[str], columns: Sequence[str], delimiter: str) -> Rows:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BrokenFile(line, f"cannot be read as CSV: {_in_words(error)}") from None
        yield _row(line, columns, cells) if any(cells) else None


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> RawRow:
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        return RawRow(line, {}, f"has {len(cells)} cells, and the first line names {len(columns)} columns")
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


def json_rows(lines: Lines) -> Rows:
    """The rows of a JSON Lines file: one object a line.

    Raises:
        BrokenFile: A line is too long, or is not encoded as UTF-8.
    """
    for text in lines:
        yield _json_row(lines.number, text) if text.strip() else None
        lines.begin_row()


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


def parts(lines: Lines, rows: Rows) -> Iterator[list[RawRow]]:
    """The rows that are read at a time; none of them where all were empty."""
    found: list[RawRow] = []
    count, begin = 0, lines.bytes_read
    for row in rows:
        count += 1
        if row is not None:
            found.append(row)
        if count >= ROWS_AT_A_TIME or lines.bytes_read - begin >= BYTES_AT_A_TIME:
            yield found
            found, count, begin = [], 0, lines.bytes_read
    yield found
