"""The check of a file: every row is held against its class family and against the shop, and nothing is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlmodel import SQLModel, col, or_, select, true
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import already_exists
from api.import_export.cells import json_value
from api.import_export.columns import Columns, columns_of, part_of
from api.import_export.files import RawRow
from api.import_export.imports import Import, Options, RowProblem
from api.import_export.staging import Staged, Staging
from api.models.base import Schema, noun_of
from api.models.texts import composed
from api.models.types import in_plain_words
from api.rules.unique_values import Key, stored_keys, unique_columns


@dataclass
class Row:
    """A row of the file while it is checked."""

    line: int
    values: dict[str, Any]
    problems: list[RowProblem] = field(default_factory=list)
    is_readable: bool = True
    key: tuple[str, Any] | None = None
    stored: Any = None
    later: dict[str, str] = field(default_factory=dict)
    data: BaseModel | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    keeps_stock: bool = False
    set_by_shop: Sequence[str] = ()

    @property
    def is_changed(self) -> bool:
        return bool(self.changes or self.later)

    def refuse(self, name: str, message: str) -> None:
        if all(each.field != name for each in self.problems):  # the first mistake of a field explains the others
            self.problems.append(RowProblem(line=self.line, field=name, message=message))


class Check:
    """The check of one file."""

    def __init__(self, what: Import, options: Options, staging: Staging, *, is_csv: bool) -> None:
        self._what, self._options, self._staging, self._is_csv = what, options, staging, is_csv
        self._columns: Columns = columns_of(what)
        self._keys = part_of(what.create, tuple(what.keys))
        self._is_written = not options.dry_run or what.finish is not None
        self._once = part_of(what.create, tuple(self._columns.once))

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
        await self._refuse_duplicates(session, good)
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
            by_slug, by_name = await _ids_of(session, reference.target, set(texts.values()))
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
            self._validate_once(row)
        if is_new or row.problems or row.data is None:
            return
        stored = row.stored
        values = {name: getattr(row.data, name) for name in row.data.model_fields_set}
        row.changes |= {name: value for name, value in values.items() if getattr(stored, name) != value}

    def _validate_once(self, row: Row) -> None:
        """What only counts for new rows: the stock, which is set on demand, and a password, which is not."""
        sent = {name: row.values[name] for name in self._columns.once if row.values.get(name) is not None}
        try:
            data = self._once.model_validate(sent)
        except ValidationError as error:
            self._refuse(row, error)
            return
        for name in sent:
            if name != self._what.stock:
                row.refuse(name, self._why_fixed(name))
            elif getattr(data, name) != getattr(row.stored, name):
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

    async def _refuse_duplicates(self, session: AsyncSession, rows: Sequence[Row]) -> None:
        """Refuse what another row of the file, or of the shop, has."""
        keys = {row.line: list(self._unique_keys(row)) for row in rows}
        new = {key for row in rows for key in keys[row.line] if row.stored is None or _touches(row, key)}
        stored = await stored_keys(session, self._what.model, new, true()) if new else {}
        for row in rows:
            own_id = None if row.stored is None else row.stored.id
            for key in keys[row.line]:
                if stored.get(key, own_id) != own_id:
                    noun = noun_of(self._what.model)
                    row.refuse(key.columns[-1], f"{already_exists(noun, key.columns)} It is {noun} {stored[key]}.")
                elif (line := self._staging.claim(key.columns, key.values, row.line)) is not None:
                    row.refuse(key.columns[-1], f"stands in line {line} already")

    def _unique_keys(self, row: Row) -> Iterator[Key]:
        model: type[SQLModel] = self._what.model
        for names in unique_columns(model):
            values = tuple(self._value(row, name) for name in names)
            if None not in values:
                yield Key(names, values)

    def _value(self, row: Row, name: str) -> Any:
        if row.stored is None:
            return getattr(row.data, name)
        return row.changes.get(name, getattr(row.stored, name))

    async def stage(self, rows: Sequence[Row]) -> None:
        """Keep the good rows that are to be written."""
        new = [row for row in rows if row.stored is None and row.data is not None]
        data = [row.data for row in new if row.data is not None]
        prepared = await self._what.prepare(data) if self._is_written else [{}] * len(new)
        staged = [Staged(row.line, None, values, row.later) for row, values in zip(new, prepared, strict=True)]
        changed = (row for row in rows if row.stored is not None and row.is_changed)
        staged += [Staged(row.line, row.stored.id, row.changes, row.later) for row in changed]
        self._staging.add(staged)

    def lost_references(self) -> Iterator[tuple[Staged, RowProblem]]:
        """References to rows that are neither in the shop nor in the file, once all of it was read."""
        for rows in self._staging.referring(500):
            for each in rows:
                for reference in self._what.references:
                    text = each.later.get(reference.field)
                    if text is None or any(self._staging.line_of((name,), (text,)) for name in ("slug", "name")):
                        continue
                    self._staging.drop(each.line)
                    message = f"is no slug and no name of a {noun_of(reference.target)}, nor of one in this file"
                    yield each, RowProblem(line=each.line, field=reference.name, message=message)


def _touches(row: Row, key: Key) -> bool:
    return any(name in row.changes for name in key.columns)


def _text(value: Any) -> str | None:
    """A slug or a name as it is stored; `None` where it cannot be one."""
    try:
        value.encode()
        return composed(value)
    except (AttributeError, ValueError):
        return None


async def _ids_of(session: AsyncSession, target: Any, texts: set[str]) -> tuple[dict[str, int], dict[str, int]]:
    """The ids of rows by their slugs and by their names."""
    if not texts:
        return {}, {}
    named = select(target.id, target.slug, target.name).where(or_(target.slug.in_(texts), target.name.in_(texts)))
    found = (await session.exec(named)).all()
    return {slug: row_id for row_id, slug, _ in found}, {name: row_id for row_id, _, name in found}
