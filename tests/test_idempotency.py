"""Idempotency keys: a request that is sent again is answered again, not done again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import refusal_for
from api.database.sessions import Database
from api.main import create_app
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order
from api.models.payment import Payment, PaymentMethod
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.transaction import Transaction
from api.models.types import MAX_ID
from api.models.user import User
from api.settings import Settings
from api.web import idempotency
from tests.databases import Backend
from tests.support import assert_refused, save

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


def routes_with_a_key() -> list[str]:
    """As the OpenAPI document tells, so that a new one cannot go untested."""
    document = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi()
    return [
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
    ]


@dataclass(frozen=True)
class Shop:
    """One of each thing that a request can be about, and staff with credit to give away."""

    product: Product
    order: Order
    payment: Payment
    own_account: Account
    other_account: Account


@dataclass(frozen=True)
class Case:
    """A request that staff may send, what it leaves behind, and how it is refused."""

    path: str
    body: dict[str, Any]
    other_body: dict[str, Any]
    leaves: type[SQLModel]
    refused_path: str
    refused_body: dict[str, Any]
    refused_with: int


def case(
    path: str, body: dict[str, Any], other: dict[str, Any], leaves: type[SQLModel], refused_body: dict[str, Any]
) -> Case:
    return Case(path, body, {**body, **other}, leaves, path, refused_body, 409)


CASES: dict[str, Callable[[Shop], Case]] = {
    "POST /orders": lambda shop: case(
        "/orders",
        {"items": [{"product_id": shop.product.id, "quantity": 2}]},
        {"shipping_address": "1 Abbey Road"},
        Order,
        {"items": [{"product_id": shop.product.id, "quantity": 1_000}]},
    ),
    "POST /orders/{id}/payments": lambda shop: case(
        f"/orders/{shop.order.id}/payments",
        {"method": "card", "amount": "10.00"},
        {"method": "cash"},
        Payment,
        {"method": "card", "amount": "60.01"},
    ),
    "POST /payments/{id}/refunds": lambda shop: case(
        f"/payments/{shop.payment.id}/refunds",
        {"amount": "10.00", "reason": "Scratched"},
        {"amount": "11.00"},
        Refund,
        {"amount": "40.01", "reason": "Scratched"},
    ),
    "POST /accounts/transfers": lambda shop: case(
        "/accounts/transfers",
        {"to_account_id": shop.other_account.id, "amount": "10.00"},
        {"amount": "11.00"},
        Transaction,
        {"to_account_id": shop.other_account.id, "amount": "50.01"},
    ),
    "POST /accounts/{id}/deposits": lambda shop: replace(
        case(
            f"/accounts/{shop.other_account.id}/deposits",
            {"amount": "10.00"},
            {"amount": "11.00"},
            Transaction,
            {"amount": "10.00"},
        ),
        refused_path="/accounts/1000000/deposits",
        refused_with=404,
    ),
    "POST /products/{id}/stock": lambda shop: case(
        f"/products/{shop.product.id}/stock",
        {"delta": -2, "reason": "Broken"},
        {"reason": "Lost"},
        StockMovement,
        {"delta": -1_000, "reason": "Broken"},
    ),
}


@pytest.fixture
async def shop(session: AsyncSession, staff: User, customer: User) -> Shop:
    product = Product(name="Lamp", slug="lamp", sku="LAMP", price=Decimal("20.00"), stock_quantity=100)
    await save(session, product)
    await save(session, StockMovement(product_id=product.id, delta=100, reason=StockReason.INITIAL))
    order = Order(user_id=customer.id, total_amount=Decimal("100.00"), paid_amount=Decimal("40.00"))
    await save(session, order)
    payment = Payment(order_id=order.id, method=PaymentMethod.CARD, amount=Decimal("40.00"))
    own = Account(name=f"Store credit {staff.id}", user_id=staff.id, balance=Decimal("50.00"))
    other = Account(name=f"Store credit {customer.id}", user_id=customer.id)
    await save(session, payment, own, other)
    issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED))).one()
    await session.exec(update(Account).where(col(Account.id) == issued.id).values(balance=Decimal("-50.00")))
    await save(session, Transaction(from_account_id=issued.id, to_account_id=own.id, amount=Decimal("50.00")))
    return Shop(product, order, payment, own, other)


@pytest.fixture(params=CASES)
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tried(route: str, shop: Shop) -> Case:
    return CASES[route](shop)


@pytest.fixture
def an_order(shop: Shop) -> Case:
    return CASES["POST /orders"](shop)


async def send(client: AsyncClient, tried: Case, key: str | bytes | None = KEY) -> Response:
    headers = {} if key is None else {b"Idempotency-Key": key if isinstance(key, bytes) else key.encode()}
    return await client.post(tried.path, json=tried.body, headers=headers)


def refused(tried: Case) -> Case:
    return replace(tried, path=tried.refused_path, body=tried.refused_body)


async def number_of(session: AsyncSession, model: type[SQLModel]) -> int:
    return (await session.exec(select(func.count()).select_from(model))).one()


async def keys(session: AsyncSession) -> list[IdempotencyKey]:
    return list((await session.exec(select(IdempotencyKey).order_by(col(IdempotencyKey.id)))).all())


async def figures(session: AsyncSession, tried: Case) -> list[Decimal | int]:
    """The sums that requests change, and how many rows of its kind there are."""
    credit = select(func.sum(Account.balance)).where(col(Account.user_id).is_not(None))
    columns = (Product.stock_quantity, Order.total_amount, Order.paid_amount, Payment.refunded_amount)
    sums: list[Decimal | int] = [(await session.exec(select(func.sum(column)))).one() for column in columns]
    return [*sums, (await session.exec(credit)).one(), await number_of(session, tried.leaves)]


def difference(before: list[Decimal | int], after: list[Decimal | int]) -> list[Decimal | int]:
    return [there - here for here, there in zip(before, after, strict=True)]


def assert_answered_once(responses: list[Response], status: int) -> None:
    """One was answered, and all others with the same, byte for byte."""
    (first,) = [response for response in responses if "Idempotent-Replayed" not in response.headers]
    assert first.status_code == status, first.text
    for response in responses:
        if response is not first:
            assert_replayed(response, first)


def assert_replayed(again: Response, first: Response) -> None:
    """The same answer, byte for byte, and told that it is."""
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]


@asynccontextmanager
async def holding(database: Database, *, row: SQLModel | None = None, held: Any = None) -> AsyncIterator[AsyncSession]:
    """Another transaction, on a connection of its own, that has written and not committed. In the end it rolls back."""
    async with database.writes() as other:
        await other.begin()
        if row is not None:
            other.add(row)
            await other.flush()
        if held is not None:
            await other.exec(held)
        yield other
        await other.rollback()


async def until_in_use(database: Database, *, writes: int, others: int) -> None:
    """Wait until so many connections are out of the pool. SQLite writes one at a time: the next wait without one."""
    pool = database.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    in_use = others + (1 if database.engine.dialect.name == "sqlite" else writes)
    async with asyncio.timeout(10):
        while pool.checkedout() < in_use:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0.01)


def test_every_route_that_takes_a_key_is_tried_here() -> None:
    assert sorted(routes_with_a_key()) == sorted(CASES)


class TestTheSameRequestAgain:
    async def test_is_done_once_and_answered_alike(
        self, as_staff: AsyncClient, session: AsyncSession, tried: Case
    ) -> None:
        before = await number_of(session, tried.leaves)

        first, *others = [await send(as_staff, tried) for _ in range(3)]

        assert first.status_code == 201
        for again in others:
            assert_replayed(again, first)
        assert await number_of(session, tried.leaves) == before + 1

    async def test_stores_the_answer_with_its_key(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, route: str, tried: Case
    ) -> None:
        response = await send(as_staff, tried)

        (stored,) = await keys(session)
        assert (stored.user_id, stored.route, stored.key) == (staff.id, route, KEY)
        assert (stored.status_code, stored.body) == (201, response.text)

    async def test_a_refusal_is_answered_alike_even_where_it_would_be_no_more(
        self, as_staff: AsyncClient, session: AsyncSession, tried: Case
    ) -> None:
        before = await number_of(session, tried.leaves)
        first = await send(as_staff, refused(tried))
        assert_refused(first, tried.refused_with)

        # Now there is enough of everything.
        await session.exec(update(Product).values(stock_quantity=10_000))
        await session.exec(update(Order).values(total_amount=Decimal(1_000)))
        await session.exec(update(Payment).values(amount=Decimal(1_000)))
        await session.exec(update(Account).values(balance=Decimal(1_000)))

        assert_replayed(await send(as_staff, refused(tried)), first)
        assert await number_of(session, tried.leaves) == before

    async def test_a_refusal_undoes_what_was_done_before_it(
        self, as_staff: AsyncClient, session: AsyncSession, an_order: Case, shop: Shop
    ) -> None:
        scarce = Product(name="Vase", slug="vase", sku="VASE", price=Decimal("20.00"), stock_quantity=1)
        await save(session, scarce)
        lines = [{"product_id": product.id, "quantity": 2} for product in (shop.product, scarce)]

        first = await send(as_staff, replace(an_order, body={"items": lines}))

        assert_refused(first, 409, "Vase")
        assert_replayed(await send(as_staff, replace(an_order, body={"items": lines})), first)
        assert sorted((await session.exec(select(col(Product.stock_quantity)))).all()) == [1, 100]
        assert await number_of(session, Order) == 1

    async def test_without_a_key_nothing_is_stored_and_all_is_done(
        self, as_staff: AsyncClient, session: AsyncSession, tried: Case
    ) -> None:
        before = await number_of(session, tried.leaves)

        responses = [await send(as_staff, tried, key=None) for _ in range(2)]

        assert [response.status_code for response in responses] == [201, 201]
        assert all("Idempotent-Replayed" not in response.headers for response in responses)
        assert await number_of(session, tried.leaves) == before + 2
        assert await keys(session) == []


class TestTwentyFiveAtOnce:
    async def test_have_the_effect_of_one(self, as_staff: AsyncClient, session: AsyncSession, tried: Case) -> None:
        before = await figures(session, tried)
        responses = await asyncio.gather(*(send(as_staff, tried) for _ in range(25)))
        after = await figures(session, tried)
        await send(as_staff, tried, key="another")

        assert difference(before, after) == difference(after, await figures(session, tried)), "what one does"
        assert_answered_once(responses, 201)

    async def test_are_refused_alike(self, as_staff: AsyncClient, session: AsyncSession, tried: Case) -> None:
        before = await figures(session, tried)

        responses = await asyncio.gather(*(send(as_staff, refused(tried)) for _ in range(25)))

        assert await figures(session, tried) == before
        assert_answered_once(responses, tried.refused_with)

    async def test_of_two_bodies_one_is_done_and_the_other_refused(
        self, as_staff: AsyncClient, session: AsyncSession, tried: Case
    ) -> None:
        other = replace(tried, body=tried.other_body)
        before = await number_of(session, tried.leaves)

        responses = await asyncio.gather(*(send(as_staff, other if number % 2 else tried) for number in range(25)))

        assert await number_of(session, tried.leaves) == before + 1
        done, late = sorted((responses[0::2], responses[1::2]), key=lambda answers: answers[0].status_code)
        assert_answered_once(done, 201)
        for response in late:
            assert_refused(response, 422, "header.Idempotency-Key")


class TestAnotherRequest:
    async def test_under_the_same_key_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, tried: Case
    ) -> None:
        first = await send(as_staff, tried)
        before = await number_of(session, tried.leaves)

        other = await send(as_staff, replace(tried, body=tried.refused_body, path=tried.refused_path))

        assert_refused(other, 422, "header.Idempotency-Key")
        assert await number_of(session, tried.leaves) == before
        assert_replayed(await send(as_staff, tried), first)

    async def test_about_another_row_under_the_same_key_is_refused(
        self, as_staff: AsyncClient, shop: Shop, session: AsyncSession
    ) -> None:
        tried = CASES["POST /accounts/{id}/deposits"](shop)
        await send(as_staff, tried)

        other = await send(as_staff, replace(tried, path=f"/accounts/{shop.own_account.id}/deposits"))

        assert_refused(other, 422, "header.Idempotency-Key")

    async def test_of_another_user_has_a_key_of_its_own(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, an_order: Case
    ) -> None:
        first, other = await send(as_staff, an_order), await send(as_customer, an_order)

        assert (first.status_code, other.status_code) == (201, 201)
        assert "Idempotent-Replayed" not in other.headers
        assert first.json()["id"] != other.json()["id"]

    async def test_on_another_route_has_a_key_of_its_own(
        self, as_staff: AsyncClient, session: AsyncSession, shop: Shop
    ) -> None:
        responses = [await send(as_staff, make(shop)) for make in CASES.values()]

        assert [response.status_code for response in responses] == [201] * len(CASES)
        assert all("Idempotent-Replayed" not in response.headers for response in responses)
        assert sorted(each.route for each in await keys(session)) == sorted(CASES)

    async def test_under_another_key_is_done(
        self, as_staff: AsyncClient, session: AsyncSession, an_order: Case
    ) -> None:
        before = await number_of(session, Order)

        for key in ("a", "A", "b", "~" * 255):  # keys differ by case too
            response = await send(as_staff, an_order, key)
            assert response.status_code == 201
            assert "Idempotent-Replayed" not in response.headers
        assert await number_of(session, Order) == before + 4


class TestWhatBurnsNoKey:
    async def test_a_request_that_is_not_valid(self, as_staff: AsyncClient, session: AsyncSession, tried: Case) -> None:
        response = await send(as_staff, replace(tried, body={**tried.body, "colour": "red"}))

        assert_refused(response, 422, "body.colour")
        assert await keys(session) == []
        done = await send(as_staff, tried)
        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers

    async def test_a_body_that_is_no_json(self, as_staff: AsyncClient, session: AsyncSession, an_order: Case) -> None:
        headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}

        assert_refused(await as_staff.post("/orders", content=b"{", headers=headers), 422)
        assert await keys(session) == []
        assert (await send(as_staff, an_order)).status_code == 201

    async def test_a_caller_who_is_not_signed_in(self, client: AsyncClient, session: AsyncSession, tried: Case) -> None:
        assert_refused(await send(client, tried), 401)
        assert await keys(session) == []

    async def test_a_database_that_was_busy(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, an_order: Case, shop: Shop
    ) -> None:
        taken = update(Product).where(col(Product.id) == shop.product.id).values(stock_quantity=0)
        async with holding(database, held=taken):
            busy = await send(as_staff, an_order)
        assert_refused(busy, 503)
        assert int(busy.headers["Retry-After"]) > 0
        assert await keys(session) == []

        done = await send(as_staff, an_order)

        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers


class TestWhileTheFirstIsInProgress:
    async def test_the_second_waits_for_its_answer(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, an_order: Case, shop: Shop
    ) -> None:
        before = await number_of(session, Order)
        taken = update(Product).where(col(Product.id) == shop.product.id).values(stock_quantity=0)
        async with asyncio.TaskGroup() as tasks, holding(database, held=taken):
            requests = [tasks.create_task(send(as_staff, an_order)) for _ in range(2)]
            await until_in_use(database, writes=2, others=2)  # the one that holds them up, and `session`
            assert not any(request.done() for request in requests)

        responses = sorted((request.result() for request in requests), key=lambda each: len(each.headers))
        assert_replayed(responses[1], responses[0])
        assert responses[0].status_code == 201
        assert await number_of(session, Order) == before + 1

    async def test_the_second_is_sent_away_where_that_takes_long(
        self, as_staff: AsyncClient, staff: User, database: Database, backend: Backend, an_order: Case
    ) -> None:
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with holding(database, row=claimed):
            began = monotonic()
            response = await send(as_staff, an_order)
            took = monotonic() - began

        # SQLite has one lock for all that is written, so who waits there cannot know what for.
        assert_refused(response, 503 if backend.name == "sqlite" else 409)
        assert int(response.headers["Retry-After"]) > 0
        assert 2.5 < took < 4.5

    async def test_the_second_does_it_where_the_first_gives_up(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, an_order: Case
    ) -> None:
        before = await number_of(session, Order)
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with asyncio.TaskGroup() as tasks, holding(database, row=claimed):
            request = tasks.create_task(send(as_staff, an_order))
            await until_in_use(database, writes=1, others=2)

        assert request.result().status_code == 201
        assert "Idempotent-Replayed" not in request.result().headers
        assert await number_of(session, Order) == before + 1

    async def test_of_many_waiting_one_does_it_where_the_first_gives_up(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, an_order: Case
    ) -> None:
        """MariaDB gives all of them a shared lock then, and they deadlock."""
        before = await number_of(session, Order)
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with asyncio.TaskGroup() as tasks, holding(database, row=claimed):
            requests = [tasks.create_task(send(as_staff, an_order)) for _ in range(5)]
            await until_in_use(database, writes=5, others=2)

        responses = [request.result() for request in requests]
        assert {response.status_code for response in responses} == {201}
        assert len({response.content for response in responses}) == 1
        assert await number_of(session, Order) == before + 1


class TestKeys:
    @pytest.mark.parametrize(
        "key", [b"", b"x" * 256, b"a b", b"a\tb", b"a\x01b", b"a\x7fb", "schlüssel".encode(), b"\xff", "🔑".encode()]
    )
    async def test_that_are_none_are_refused(
        self, as_staff: AsyncClient, session: AsyncSession, an_order: Case, key: bytes
    ) -> None:
        before = await number_of(session, Order)

        assert_refused(await send(as_staff, an_order, key), 422, "header.Idempotency-Key")
        assert await number_of(session, Order) == before
        assert await keys(session) == []

    async def test_are_for_the_routes_that_take_them(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        response = await as_customer.get("/orders", headers={"Idempotency-Key": KEY})

        assert response.status_code == 200
        assert await keys(session) == []

    async def test_are_forgotten_after_thirty_days(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, an_order: Case
    ) -> None:
        await send(as_staff, an_order)
        old = [
            IdempotencyKey(
                user_id=staff.id,
                route="POST /orders",
                key=f"{days} days",
                fingerprint="f",
                created_at=utcnow() - timedelta(days=days),
            )
            for days in (29, 31, 400)
        ]
        await save(session, *old)

        async with database.writes() as writing, writing.begin():
            purged = await idempotency.purge(writing)

        assert purged == 2
        assert [each.key for each in await keys(session)] == [KEY, "29 days"]

    async def test_of_a_user_who_is_gone_by_then_are_refused(self, database: Database, session: AsyncSession) -> None:
        nobodys = IdempotencyKey(user_id=MAX_ID, route="POST /orders", key=KEY, fingerprint="f")
        async with database.writes() as writing:
            with pytest.raises(IntegrityError) as raised:
                await idempotency.claim(writing, nobodys)

        refusal = refusal_for(raised.value)
        assert refusal is not None
        assert refusal.status == 409
        assert await keys(session) == []

    async def test_a_forgotten_one_is_new(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, an_order: Case
    ) -> None:
        first = await send(as_staff, an_order)
        await session.exec(update(IdempotencyKey).values(created_at=utcnow() - timedelta(days=31)))
        async with database.writes() as writing, writing.begin():
            await idempotency.purge(writing)

        again = await send(as_staff, an_order)

        assert again.status_code == 201
        assert again.json()["id"] != first.json()["id"]

    async def test_the_answer_is_stored_as_it_was_sent(
        self, as_staff: AsyncClient, session: AsyncSession, an_order: Case
    ) -> None:
        tried = replace(an_order, body={**an_order.body, "shipping_address": "Straße 1, Łódź 🏠 \\ \" '"})

        first = await send(as_staff, tried)

        assert_replayed(await send(as_staff, tried), first)
        assert json.loads(first.content)["shipping_address"] == tried.body["shipping_address"]
