"""The check of a file: every row is held against its class family and against the shop, and nothing is written."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export.cells import json_value
from api.import_export.columns import Columns, columns_of, part_of
from api.import_export.duplicates import refuse_duplicates
from api.import_export.files import RawRow
from api.import_export.imports import Import, Options, RowProblem
from api.import_export.rows import Row
from api.import_export.staging import Staged, Staging
from api.models.base import Schema, noun_of
from api.models.columns import is_same
from api.models.texts import composed
from api.models.types import in_plain_words


class Check:
    """The check of one file."""

    def __init__(self, what: Import, options: Options, staging: Staging, *, is_csv: bool) -> None:
        self._what, self._options, self._staging, self._is_csv = what, options, staging, is_csv
        self._columns: Columns = columns_of(what)
        self._keys = part_of(what.create, tuple(what.keys))
        self._is_written = not options.dry_run or what.finish is not None
        self._stock = part_of(what.create, (what.stock,) if what.stock else ())

    async def check(self, session: AsyncSession, raw: Sequence[RawRow]) -> list[Row]:
        """Check some rows; what is wrong stands in their `problems`."""
        rows = [self._read(each) for each in raw]
        for row in rows:
            row.set_by_shop = [name for name in self._columns.set_by_shop if row.values.get(name) is not None]
        readable = [row for row in rows if row.is_readable]
        await self._resolve(session, readable)
        for row in readable:
            row.key = self._key_of(row)
        await self._find_stored(session, readable)
        for row in readable:
            self._validate(row)
        for reference in self._what.references:
            await self._refuse_unknown_ids(session, reference.field, reference.target, readable)
        good = [row for row in rows if not row.problems]
        await refuse_duplicates(session, self._what.model, self._staging, good)
        return rows

    def _read(self, raw: RawRow) -> Row:
        if raw.problem:
            return Row(raw.line, {}, [RowProblem(line=raw.line, field="", message=raw.problem)], is_readable=False)
        if self._is_csv:
            return Row(raw.line, *self._columns.values_of(raw))
        return Row(raw.line, raw.values, list(self._columns.problems_of_names(raw)))

    async def _resolve(self, session: AsyncSession, rows: Sequence[Row]) -> None:
        """Replace slugs and names of other rows by their ids, and look whether ids exist."""
        for reference in self._what.references:
            named = [row for row in rows if row.values.get(reference.name) is not None]
            texts = {row.line: text for row in named if (text := _text(row.values[reference.name])) is not None}
            by_slug, by_name = await reference.ids(session, set(texts.values()))
            for row in rows:
                if reference.name not in row.values:
                    continue
                given, text = row.values.pop(reference.name), texts.get(row.line)
                found = None if text is None else by_slug.get(text) or by_name.get(text)
                row.values[reference.field] = found
                if given is not None and found is None:
                    if text is not None and reference.target is self._what.model:
                        row.later[reference.field] = text  # perhaps a row of this file
                    else:
                        row.refuse(reference.name, f"is no slug and no name of a {noun_of(reference.target)}")

    async def _refuse_unknown_ids(self, session: AsyncSession, name: str, target: Any, rows: Sequence[Row]) -> None:
        named = {row.line: row_id for row in rows if (row_id := getattr(row.data, name, None)) is not None}
        if not named:
            return
        wanted = set(named.values())
        found = set((await session.exec(select(target.id).where(col(target.id).in_(wanted)))).all())
        for row in rows:
            if row.line in named and named[row.line] not in found:
                row.refuse(name, f"there is no such {noun_of(target)}")

    def _key_of(self, row: Row) -> tuple[str, Any] | None:
        name = next((each for each in self._what.keys if row.values.get(each) is not None), None)
        if name is None:
            return None
        try:
            return name, getattr(self._keys.model_validate({name: row.values[name]}), name)
        except ValidationError:
            return None  # the class says why, with all that is wrong

    async def _find_stored(self, session: AsyncSession, rows: Sequence[Row]) -> None:
        model = self._what.model
        for name in self._what.keys:
            wanted = {row.key[1] for row in rows if row.key is not None and row.key[0] == name}
            if not wanted:
                continue
            column = getattr(model, name)
            found = {getattr(each, name): each for each in await session.exec(select(model).where(column.in_(wanted)))}
            for row in rows:
                if row.key is not None and row.key[0] == name:
                    row.stored = found.get(row.key[1])

    def _validate(self, row: Row) -> None:
        is_new = row.stored is None
        model: Any = self._what.create if is_new else self._what.update
        self._check_fixed(row)
        try:
            row.data = model.model_validate({n: v for n, v in row.values.items() if n in model.model_fields})
        except ValidationError as error:
            self._refuse(row, error)
        if not is_new:
            row.new_only = [name for name in self._columns.new_only if row.values.get(name) is not None]
            self._validate_stock(row)
        if is_new or row.problems or row.data is None:
            return
        stored = row.stored
        values = {name: getattr(row.data, name) for name in row.data.model_fields_set}
        row.changes |= {name: value for name, value in values.items() if not is_same(getattr(stored, name), value)}

    def _validate_stock(self, row: Row) -> None:
        """That of a row that exists is set on demand."""
        name = self._what.stock
        if name is None or row.values.get(name) is None:
            return
        try:
            data = self._stock.model_validate({name: row.values[name]})
        except ValidationError as error:
            self._refuse(row, error)
            return
        if getattr(data, name) != getattr(row.stored, name):
            row.keeps_stock = not self._options.stock
            if self._options.stock:
                row.changes[name] = getattr(data, name)

    def _check_fixed(self, row: Row) -> None:
        """What a file must not change may stand there as it is."""
        fields = self._what.model.model_fields
        for name in self._columns.fixed:
            if row.values.get(name) is not None:
                now = getattr(row.stored, name) if row.stored is not None else fields[name].default
                if json_value(now) != row.values[name]:
                    row.refuse(name, self._why_fixed(name))

    def _why_fixed(self, name: str) -> str:
        elsewhere = self._what.create.elsewhere_of(name) if issubclass(self._what.create, Schema) else None
        return f"cannot be written here: {elsewhere}" if elsewhere else "cannot be written here"

    def _refuse(self, row: Row, error: ValidationError) -> None:
        for mistake in error.errors(include_url=False, include_input=False):
            place = ".".join(map(str, mistake["loc"])).encode("utf-8", "backslashreplace").decode()
            row.refuse(place, in_plain_words(mistake))

    async def stage(self, rows: Sequence[Row], *, is_refused: bool) -> None:
        """Keep the good rows that are to be written; of a file that is refused, only what they refer to counts."""
        new = [row for row in rows if row.stored is None and row.data is not None]
        data = [row.data for row in new if row.data is not None]
        is_written = self._is_written and not is_refused
        prepared = await self._what.prepare(data) if is_written else [{}] * len(new)
        staged = [Staged(row.line, None, values, row.later) for row, values in zip(new, prepared, strict=True)]
        changed = (row for row in rows if row.stored is not None and row.is_changed)
        staged += [Staged(row.line, row.stored.id, row.changes, row.later) for row in changed]
        self._staging.add(staged)


def _text(value: Any) -> str | None:
    """A slug or a name as it is stored; `None` where it cannot be one."""
    try:
        value.encode()
        return composed(value)
    except (AttributeError, ValueError):
        return None
