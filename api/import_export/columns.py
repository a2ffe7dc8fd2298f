"""The columns of an import, derived from the class family: which there are, and what a cell of each stands for."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from api.import_export.cells import is_nullable, reader_of
from api.import_export.exports import csv_text
from api.import_export.files import BrokenFile, RawRow, shown
from api.import_export.imports import Import, RowProblem, imports
from api.models.base import Schema
from api.web.file_formats import FileFormat
from api.web.wrong_names import suggestion

ABSENT = object()


class Columns:
    """The columns that a file of an entity may have."""

    def __init__(self, what: Import) -> None:
        self.what = what
        create, update, read = what.create.model_fields, what.update.model_fields, what.read.model_fields
        self.writable = {**create, **update}
        """The columns of the Create and the Update class."""

        shown_alone = {name: field for name, field in read.items() if name not in self.writable}
        self.set_by_shop = [name for name, field in shown_alone.items() if name == "id" or _is_time(field.annotation)]
        """Columns that an export has and that never count."""

        self.fixed = [name for name in shown_alone if name not in self.set_by_shop]
        """Columns that an export has and that a file may repeat, but not change."""

        self.references = {each.name: each for each in what.references}
        self.new_only = [name for name in create if name not in update and name != what.stock]
        """Columns that only count for a new row."""

        self.known = sorted({*self.writable, *self.references, *read})
        self._readers: dict[str, Callable[[str], Any]] = {
            name: reader_of(field) for name, field in {**read, **self.writable}.items()
        }
        self._nullable = {name for name, field in self.writable.items() if _is_clearable(name, field, update)}
        self._nullable |= self.references.keys()

    def check_header(self, names: Iterable[str]) -> None:
        """
        Raises:
            BrokenFile: A column is unknown, or one is missing without which no row is found.
        """
        found = list(names)
        for name in found:
            if message := self.why_unknown(name):
                raise BrokenFile(1, f"{shown(name)} {message}")
        if message := self.why_incomplete(found):
            raise BrokenFile(1, message)

    def why_unknown(self, name: str) -> str | None:
        if name in self.known:
            return None
        elsewhere = self.what.create.elsewhere_of(name) if issubclass(self.what.create, Schema) else None
        if elsewhere:
            return f"cannot be written here: {elsewhere}"
        return f"is not a column: {suggestion(name, self.known)}"

    def why_incomplete(self, names: Iterable[str]) -> str | None:
        found = set(names)
        if not found & set(self.what.keys):
            keys = " or ".join(f"`{each}`" for each in self.what.keys)
            return f"the column {keys} is missing, which says which row of the shop each row is"
        both = next((each for each in self.references.values() if {each.name, each.field} <= found), None)
        return both and f"`{both.name}` and `{both.field}` say the same: leave one of them out"

    def values_of(self, cells: RawRow) -> tuple[dict[str, Any], list[RowProblem]]:
        """The values of a row of CSV."""
        values, problems = {}, []
        for name, cell in cells.values.items():
            try:
                value = self._value_of(name, cell)
            except ValueError as error:
                problems.append(RowProblem(line=cells.line, field=name, message=str(error)))
            else:
                if value is not ABSENT:
                    values[name] = value
        return values, problems

    def _value_of(self, name: str, cell: str) -> Any:
        if cell == "":
            return None if name in self._nullable else ABSENT
        return self._readers[name](cell) if name in self._readers else cell

    def problems_of_names(self, row: RawRow) -> Iterator[RowProblem]:
        """What is wrong with the names of a row of JSON Lines, each of which has its own."""
        for name in row.values:
            if message := self.why_unknown(name):
                yield RowProblem(line=row.line, field=shown(name).strip("`"), message=message)
        if message := self.why_incomplete(row.values):
            yield RowProblem(line=row.line, field=self.what.keys[0], message=message)


def _is_clearable(name: str, field: Any, update: dict[str, Any]) -> bool:
    """Whether an empty cell clears the field; elsewhere it leaves the field as it is."""
    return is_nullable(update.get(name, field))


def _is_time(annotation: Any) -> bool:
    return annotation is datetime or datetime in get_args(annotation)


@cache
def columns_of(what: Import) -> Columns:
    return Columns(what)


@cache
def part_of(model: type[BaseModel], names: tuple[str, ...]) -> type[BaseModel]:
    """Some fields of a class, each of which may be absent."""
    fields: dict[str, Any] = {name: (_type_of(model.model_fields[name]), None) for name in names}
    return create_model(f"PartOf{model.__name__}", __base__=Schema, **fields)


def _type_of(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def example_of(name: str, file_format: FileFormat) -> str:
    """A file of one row, from the examples of the class family."""
    columns = columns_of(imports()[name])
    ids = {each.field for each in columns.references.values()}
    properties = imports()[name].create.model_json_schema()["properties"]
    examples = {field: _example(schema) for field, schema in properties.items() if field not in ids}
    row = {field: example for field, example in examples.items() if example is not None}
    if file_format is FileFormat.JSONL:
        return f"{json.dumps(row)}\n"
    return csv_text([row, row.values()]).decode()


def _example(schema: dict[str, Any]) -> Any:
    """The first example of a field's type, also of one that may be null."""
    return next((each["examples"][0] for each in [schema, *schema.get("anyOf", ())] if each.get("examples")), None)
