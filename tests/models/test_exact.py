"""Decimals that are no money, stored exactly and alike; and types that a table cannot have."""

import enum
import json
import operator
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import Field as Limits
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import registry
from sqlmodel import Field, Numeric, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.errors import Unprocessable
from api.models.columns import Cents, Exact, ScaledInteger
from api.models.portable import portable_type
from api.models.product import Product
from api.models.types import places
from api.reads.json_expressions import json_of_row
from api.reads.keyset import Keyset
from api.reads.rows import as_json

Weight = Annotated[Decimal, Limits(max_digits=12, decimal_places=4), places(4)]


class ParcelBase(SQLModel, registry=registry()):
    """In a registry of its own: the shop has no such table."""

    weight: Weight
    share: Annotated[Decimal | None, Limits(max_digits=18, decimal_places=6)] = None
    units: Annotated[Decimal | None, Limits(max_digits=18, decimal_places=0)] = None


class ParcelRead(SQLModel):
    id: int
    weight: Decimal
    share: Decimal | None
    units: Decimal | None
    packed_on: date | None


TYPES = {"weight": Exact(12, 4), "share": Exact(18, 6), "units": Exact(18, 0)}


class Parcel(ParcelBase, table=True):
    __tablename__ = "test_parcels"

    id: int = Field(default=None, sa_column=sa.Column(sa.Integer, primary_key=True))
    weight: Weight = Field(sa_type=TYPES["weight"])
    share: Decimal | None = Field(default=None, sa_type=TYPES["share"])
    units: Decimal | None = Field(default=None, sa_type=TYPES["units"])
    packed_on: date | None = Field(default=None, sa_type=sa.Date)


@pytest.fixture
async def parcels(database: Database, session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """A session on a database that has the table too."""
    metadata = Parcel.metadata
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    yield session
    await session.close()
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)


async def put(session: AsyncSession, *weights: str, **fields: Any) -> None:
    session.add_all(Parcel(weight=Decimal(each), **fields) for each in weights)
    await session.flush()


class TestExact:
    @pytest.mark.parametrize(
        "weight", ["0.1925", "-0.0001", "0.0000", "12345678.9012", "99999999.9999", "-99999999.9999"]
    )
    async def test_a_value_is_read_as_it_was_written(self, parcels: AsyncSession, weight: str) -> None:
        await put(parcels, weight)

        assert str((await parcels.exec(select(col(Parcel.weight)))).one()) == weight

    async def test_a_value_is_read_with_all_its_places(self, parcels: AsyncSession) -> None:
        await put(parcels, "5", share=Decimal("0.5"), units=Decimal(7))

        parcel = (await parcels.exec(select(Parcel))).one()

        assert (str(parcel.weight), str(parcel.share), str(parcel.units)) == ("5.0000", "0.500000", "7")

    async def test_sums_and_extremes_are_exact(self, parcels: AsyncSession) -> None:
        await put(parcels, *["0.0001"] * 999, "99999999.9999")

        figures = select(func.sum(Parcel.weight), func.min(Parcel.weight), func.max(Parcel.weight))
        assert [str(each) for each in (await parcels.exec(figures)).one()] == [
            "100000000.0998",
            "0.0001",
            "99999999.9999",
        ]

    async def test_comparisons_and_additions_are_exact_also_with_whole_numbers(self, parcels: AsyncSession) -> None:
        await put(parcels, "0.1", "0.2", "0.3000", "3", "30")

        async def found(condition: Any) -> list[str]:
            ordered = select(col(Parcel.weight)).where(condition).order_by(col(Parcel.weight))
            return [str(each) for each in (await parcels.exec(ordered)).all()]

        weight = col(Parcel.weight)
        assert await found(weight == Decimal("0.3")) == ["0.3000"]
        assert await found(weight + Decimal("0.1") == Decimal("0.3")) == ["0.2000"]
        assert await found(weight >= 3) == ["3.0000", "30.0000"]
        assert await found(weight * 10 == Decimal("3")) == ["0.3000"]
        assert await found(weight.in_([Decimal("0.1"), Decimal("30")])) == ["0.1000", "30.0000"]

    @pytest.mark.parametrize(
        ("weight", "reason"),
        [
            ("0.00001", "has more than 4 decimal places"),
            ("100000000", "has more than 8 digits before the decimal point"),
            ("NaN", "NaN has more"),
            ("Infinity", "Infinity has more"),
        ],
    )
    async def test_a_value_that_does_not_fit_is_refused_and_not_rounded(
        self, parcels: AsyncSession, weight: str, reason: str
    ) -> None:
        with pytest.raises(StatementError, match=reason):
            await put(parcels, weight)

    def test_a_product_of_decimals_is_left_to_python(self) -> None:
        """In the database it would have the places of both."""
        with pytest.raises(TypeError, match=r"multiply or divide .* in Python"):
            col(Parcel.weight) * Decimal("0.5")
        with pytest.raises(TypeError, match="they have other numbers of places"):
            col(Parcel.weight) * col(Parcel.weight)

    def test_decimals_with_other_places_cannot_be_compared_or_added(self) -> None:
        for combine in (operator.eq, operator.lt, operator.add, operator.sub, operator.truediv):
            with pytest.raises(TypeError, match=r"combine Exact\(.*\) and Cents\(\) in Python"):
                combine(col(Parcel.weight), col(Product.price))

    @pytest.mark.parametrize(("precision", "scale"), [(19, 4), (0, 0), (12, 7), (3, 4), (12, -1)])
    def test_more_digits_than_all_databases_store_are_refused(self, precision: int, scale: int) -> None:
        with pytest.raises(ValueError, match="18 digits at most, and 6 of them after the decimal point"):
            Exact(precision, scale)

    def test_a_migration_names_it_as_a_person_would(self) -> None:
        assert repr(Exact(12, 4)) == "Exact(precision=12, scale=4)"


class TestJson:
    async def test_the_database_writes_what_pydantic_writes(self, parcels: AsyncSession, database: Database) -> None:
        await put(parcels, "0.1925", "-0.0500", "7", "0", "99999999.9999")
        extremes: dict[str, Any] = {"share": Decimal("-999999999999.999999"), "units": Decimal(10) ** 18 - 1}
        await put(parcels, "-12.3", packed_on=date(2026, 5, 12), **extremes)
        await put(parcels, "1", share=Decimal("0.000001"), units=Decimal(-5))
        ordered = select(Parcel).order_by(col(Parcel.id))
        rows = (await parcels.exec(ordered)).all()

        statement = as_json(ordered, read=ParcelRead, dialect=database.engine.dialect)
        written = [json.loads(text) for (text,) in await (await parcels.connection()).execute(statement)]

        assert written == [json.loads(ParcelRead.model_validate(row.model_dump()).model_dump_json()) for row in rows]
        assert [each["weight"] for each in written[:3]] == ["0.1925", "-0.0500", "7.0000"]
        assert json_of_row(ParcelRead, Parcel, database.engine.dialect) is not None

    @pytest.mark.parametrize("name", ["weight", "-weight", "packed_on"])
    async def test_a_cursor_continues_after_its_row(self, parcels: AsyncSession, name: str) -> None:
        for number, weight in enumerate(("0.5", "-1.25", "0.5", "3")):
            await put(parcels, weight, packed_on=date(2026, 5, 1 + number // 2))
        keyset = Keyset(Parcel, name)
        rows = [each.model_dump() for each in (await parcels.exec(select(Parcel).order_by(*keyset.clauses))).all()]

        for number, row in enumerate(rows):
            values = keyset.parameters(keyset.cursor_at(row))
            following = select(Parcel.id).where(keyset.after()).order_by(*keyset.clauses)
            found = (await parcels.exec(following, params=values)).all()
            assert list(found) == [each["id"] for each in rows[number + 1 :]]

    @pytest.mark.parametrize("text", ["0.00001", "1e3", "NaN", "1_000", "", "100000000", " 1"])
    def test_a_cursor_with_another_value_is_refused(self, text: str) -> None:
        keyset = Keyset(Parcel, "weight")
        with pytest.raises(Unprocessable, match="is not a cursor"):
            keyset.parameters(keyset.cursor_at({"id": 1, "weight": text}))


class Colour(enum.Enum):
    RED = "red"


def declare(annotation: Any, **options: Any) -> sa.Column[Any]:
    """The column of a field, in a table of the shop that is taken away again."""
    try:
        base = type("Base", (SQLModel,), {}, registry=registry(metadata=SQLModel.metadata))
        model = type(
            "Gadget",
            (base,),
            {
                "__annotations__": {"id": int, "value": annotation},
                "__module__": __name__,
                "id": Field(default=None, primary_key=True),
                "value": Field(**options),
                "__tablename__": "test_gadgets",
            },
            table=True,
        )
        return model.__table__.c.value  # type: ignore[attr-defined,no-any-return]
    finally:
        if "test_gadgets" in SQLModel.metadata.tables:
            SQLModel.metadata.remove(SQLModel.metadata.tables["test_gadgets"])


class TestDeclaration:
    @pytest.mark.parametrize(
        ("declared", "stored"),
        [
            (Numeric(12, 4), "Exact(precision=12, scale=4)"),
            (Numeric(9, 0), "Exact(precision=9, scale=0)"),
            (Numeric(12, 2), "Cents()"),
            (Numeric(), "Cents()"),
            (Exact(5, 3), "Exact(precision=5, scale=3)"),
        ],
        ids=repr,
    )
    def test_a_numeric_type_becomes_one_that_is_exact(self, declared: Any, stored: str) -> None:
        kind = portable_type(declared)
        assert isinstance(kind, ScaledInteger)
        assert repr(kind) == stored

    def test_the_places_of_a_field_choose_its_column(self) -> None:
        money = Annotated[Decimal, Limits(max_digits=12, decimal_places=2)]
        assert repr(declare(Weight).type) == "Exact(precision=12, scale=4)"
        assert isinstance(declare(money).type, Cents)

    @pytest.mark.parametrize(
        ("annotation", "kind", "instead"),
        [
            (float, None, "a Decimal with `max_digits` and `decimal_places`"),
            (float, sa.Double, "a Decimal"),
            (datetime, sa.DateTime, "an AwareDatetime"),
            (Colour, None, "EnumValue"),
            (bytes, None, "hexadecimal or base64"),
            (UUID, None, "a text of 36 characters"),
            (timedelta, None, "a number of seconds"),
            (time, None, "a number of minutes"),
            (Decimal, Numeric(20, 4), "18 digits at most"),
            (Decimal, Numeric(12, 8), "18 digits at most, and 6 of them after"),
        ],
        ids=str,
    )
    def test_a_type_that_is_not_stored_alike_is_refused_with_what_to_declare_instead(
        self, annotation: Any, kind: Any, instead: str
    ) -> None:
        with pytest.raises(TypeError) as refused:
            declare(annotation, **({} if kind is None else {"sa_type": kind}))
        assert str(refused.value).startswith("test_gadgets.value: ")
        assert instead in str(refused.value)

    @pytest.mark.parametrize("annotation", [int, str, bool, date, Decimal], ids=str)
    def test_other_types_can_be_declared(self, annotation: Any) -> None:
        assert declare(annotation) is not None
