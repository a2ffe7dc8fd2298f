"""Places, pays and cancels an order by the Python client that was generated from the document."""

import sys
from typing import TypeVar

from shop import AuthenticatedClient, Client
from shop.api.auth import auth_sign_in
from shop.api.orders import orders_cancel, orders_place, orders_read
from shop.api.payments import payments_pay_order
from shop.api.products import products_create
from shop.api.users import users_register
from shop.models import (
    OrderCreate,
    OrderItemCreate,
    OrderStatus,
    PaymentCreate,
    PaymentMethod,
    Problem,
    ProductCreate,
    SignInForm,
    UserCreate,
    ValidationProblem,
)

T = TypeVar("T")


def answer(answered: T | Problem | ValidationProblem | None) -> T:
    if answered is None or isinstance(answered, Problem | ValidationProblem):
        raise AssertionError(answered)
    return answered


def sign_in(anyone: Client, username: str, password: str) -> AuthenticatedClient:
    token = answer(auth_sign_in.sync(client=anyone, body=SignInForm(username=username, password=password)))
    return AuthenticatedClient(base_url=url, token=token.access_token)


url, password = sys.argv[1:]
anyone = Client(base_url=url)
staff = sign_in(anyone, "admin", password)
lamp = answer(
    products_create.sync(
        client=staff, body=ProductCreate(name="Desk lamp", sku="LAMP-PY", price="12.50", stock_quantity=5)
    )
)
customer = UserCreate(username="pythia", email="pythia@example.com", password="SecurePass123")
answer(users_register.sync(client=staff, body=customer))  # the generator knows no operation whose token is optional
pythia = sign_in(anyone, customer.username, customer.password)

wanted = OrderCreate(items=[OrderItemCreate(product_id=lamp.id, quantity=2)])
order = answer(orders_place.sync(client=pythia, body=wanted, idempotency_key="pythia-1"))
assert order.total_amount == "25.00"
assert [line.product_name for line in order.items] == ["Desk lamp"]
assert answer(orders_place.sync(client=pythia, body=wanted, idempotency_key="pythia-1")).id == order.id

paid = PaymentCreate(method=PaymentMethod.CARD, amount="25.00")
payment = answer(payments_pay_order.sync(order.id, client=staff, body=paid))
assert payment.amount == order.total_amount
assert answer(orders_read.sync(order.id, client=pythia)).status is OrderStatus.CONFIRMED

cancelled = answer(orders_cancel.sync(order.id, client=pythia))
assert cancelled.status is OrderStatus.CANCELLED
assert cancelled.refunded_amount == "25.00"
again = orders_cancel.sync(order.id, client=pythia)
assert isinstance(again, Problem)
assert again.status == 409
print("placed, paid and cancelled")
