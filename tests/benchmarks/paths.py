"""What is asked of every server: the hot paths of a shop, with the same requests for each."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from tests.benchmarks import rows as made
from tests.benchmarks.rows import Rows

NewRequest = Callable[[], bytes]

PAGE_SIZE = 50
CUSTOMER_IDS = range(made.STAFF_ID + 1, made.STAFF_ID + 1 + made.CUSTOMERS)
PAGES = 20
"""Pages of a list that are asked for: people seldom look further."""


@dataclass
class World:
    """What one server can be asked for."""

    rows: Rows
    cursors: list[str]
    to_change: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        """Orders are changed from the end, and each only once."""
        plain = made.CUSTOMERS * made.ORDERS_PER_CUSTOMER
        self.to_change = iter(range(plain + 1, len(self.rows.orders) + 1))

    def owner(self, order_id: int) -> int:
        owner: int = self.rows.orders[order_id - 1]["user_id"]
        return owner


@dataclass(frozen=True)
class Path:
    """A kind of request, and by how many times it should be faster than the textbook and how near the floor."""

    name: str
    new_request: Callable[[World], bytes]
    times_textbook: float
    of_floor: float | None = None
    status: int = 200


def request(method: str, target: str, *, token: str | None = None, body: object = None, key: bool = False) -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: shop"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if key:
        head.append(f"Idempotency-Key: {uuid4()}")
    text = "" if body is None else json.dumps(body)
    if text:
        head += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    elif method != "GET":
        head.append("Content-Length: 0")
    return ("\r\n".join(head) + f"\r\n\r\n{text}").encode()


def _product(world: World) -> bytes:
    return request("GET", f"/products/{random.randint(1, len(world.rows.products))}")


def _products_after(world: World) -> bytes:
    return request("GET", f"/products?page_size={PAGE_SIZE}&cursor={random.choice(world.cursors)}")


def _products_of_page(world: World) -> bytes:
    return request("GET", f"/products?page_size={PAGE_SIZE}&page={random.randint(1, PAGES)}")


def _order(world: World) -> bytes:
    order_id = random.randint(1, made.CUSTOMERS * made.ORDERS_PER_CUSTOMER)
    return request("GET", f"/orders/{order_id}", token=world.rows.token(world.owner(order_id)))


def _own_orders(world: World) -> bytes:
    return request("GET", "/orders?page_size=20", token=world.rows.token(random.choice(CUSTOMER_IDS)))


def _tree(world: World) -> bytes:
    return request("GET", "/categories/tree")


def _me(world: World) -> bytes:
    return request("GET", "/users/me", token=world.rows.token(random.choice(CUSTOMER_IDS)))


def _place(world: World) -> bytes:
    lines = random.sample(range(1, len(world.rows.products) + 1), made.LINES)
    body = {
        "items": [{"product_id": product_id, "quantity": 1} for product_id in lines],
        "shipping_address": "1 Abbey Road, London",
    }
    return request("POST", "/orders", token=world.rows.token(random.choice(CUSTOMER_IDS)), body=body, key=True)


def _cancel(world: World) -> bytes:
    order_id = next(world.to_change)
    return request("POST", f"/orders/{order_id}/cancel", token=world.rows.token(world.owner(order_id)))


def _pay(world: World) -> bytes:
    order_id = next(world.to_change)
    body = {"method": "card", "amount": "0.50", "reference": str(uuid4())}
    return request("POST", f"/orders/{order_id}/payments", token=world.rows.token(made.STAFF_ID), body=body, key=True)


def _change_status(world: World) -> bytes:
    order_id = next(world.to_change)
    target = f"/orders/{order_id}/status?new_status=confirmed"
    return request("PATCH", target, token=world.rows.token(made.STAFF_ID))


def _transfer(world: World) -> bytes:
    giver, taker = random.sample(CUSTOMER_IDS, 2)
    body = {"to_account_id": made.SHOP_ACCOUNTS + taker, "amount": "0.01"}
    return request("POST", "/accounts/transfers", token=world.rows.token(giver), body=body, key=True)


PATHS = (
    Path("product by id", _product, 5, 0.5),
    Path("50 products, by cursor", _products_after, 7, 0.6),
    Path("50 products, by page", _products_of_page, 6, 0.6),
    Path("order with 3 lines", _order, 5, 0.45),
    Path("own orders, 20", _own_orders, 5, 0.45),
    Path("category tree", _tree, 5, 0.5),
    Path("/users/me", _me, 5, 0.5),
    Path("place an order", _place, 5, 0.4, 201),
    Path("cancel an order", _cancel, 3),
    Path("pay towards an order", _pay, 3, None, 201),
    Path("change a status", _change_status, 3),
    Path("transfer", _transfer, 3, None, 201),
)
