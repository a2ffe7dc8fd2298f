"""Where the rows of tests come from: one builder per entity, `a_product(session)`, and the books stay valid.

Nothing but the session has to be given: what a row needs, a builder makes. Any other column is a keyword argument
(`created_at=LONG_AGO`, `id=7`). What one row owes to others is written with it: stock has its movement, an order its
lines, events and stock, a balance its transaction. So `python -m api verify` finds nothing wrong after any of them.

Rows that change are brought up to date: after `an_order(session, user, (product, 2))` `product.stock_quantity` is less.
The builders use none of the app's rules, because the rules are what is tested. For a new entity, add a builder here;
`tests/house/test_factories.py` says which one is missing.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

from sqlmodel import SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.models.account import Account, ShopAccount
from api.models.attempt import Attempt, AttemptKind
from api.models.audit_entry import AuditAction, AuditEntry
from api.models.base import utcnow
from api.models.category import Category
from api.models.event import Event, EventType
from api.models.idempotency_key import IdempotencyKey
from api.models.job import Job
from api.models.mail import Mail, MailKind
from api.models.notification import Notification, NotificationKind
from api.models.order import NEXT_STATUSES, Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.payment import Payment, PaymentMethod, PaymentStatus
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.refund import Refund
from api.models.registration import Registration
from api.models.stock_movement import StockMovement, StockReason
from api.models.tag import PostTag, Tag
from api.models.token import Token, TokenKind
from api.models.transaction import Transaction
from api.models.user import User
from api.models.webhook import Webhook, new_secret
from api.models.webhook_delivery import WebhookDelivery
from tests.support import PASSWORD_HASH, save

Row = TypeVar("Row", bound=SQLModel)

Amount = Decimal | str
"""Of money; tests write it as people do, "79.99"."""

Line = tuple[Product, int]
"""A product and how many of it are ordered."""

numbers = count(1)
"""Makes names, slugs, SKUs and e-mail addresses unique."""

STEPS_TO = {
    OrderStatus.PENDING: [],
    OrderStatus.CONFIRMED: [OrderStatus.CONFIRMED],
    OrderStatus.SHIPPED: [OrderStatus.CONFIRMED, OrderStatus.SHIPPED],
    OrderStatus.DELIVERED: [OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED],
    OrderStatus.CANCELLED: [OrderStatus.CANCELLED],
}
"""Through which statuses a pending order gets to each."""


async def _row(session: AsyncSession, entity: type[Row], fields: Mapping[str, Any], **defaults: Any) -> Row:
    """Write a row: what the test says of it, and the defaults for the rest."""
    if unknown := fields.keys() - entity.model_fields.keys():  # a table class would drop them without a word
        raise TypeError(f"{entity.__name__} has no column {', '.join(sorted(unknown))}")
    row = entity(**{**defaults, **fields})
    await save(session, row)
    return row


async def _change(session: AsyncSession, row: Any, **values: Any) -> None:
    """Change a row as it is in the database now, whatever the app did to it since it was read."""
    table = type(row)
    statement = update(table).where(table.id == row.id).values(**values)
    await session.exec(statement.execution_options(synchronize_session=False))
    await session.refresh(row)


# People


async def a_user(session: AsyncSession, username: str = "", **fields: Any) -> User:
    """A customer whose password is `PASSWORD`; `is_superuser=True` makes staff."""
    username = username or f"user_{next(numbers)}"
    email = f"{username.lower()}@example.com"
    return await _row(session, User, fields, username=username, email=email, hashed_password=PASSWORD_HASH)


async def a_token(
    session: AsyncSession,
    user: User | None = None,
    kind: TokenKind = TokenKind.SESSION,
    *,
    days: float = 1,
    **fields: Any,
) -> tuple[str, Token]:
    """What a client sends, and the row that stands for it. It expires in `days`; below zero it has."""
    user = user or await a_user(session)
    secret, made = new_token(user, kind, f"Token {next(numbers)}", timedelta(days=days))
    made.last_used_at = utcnow()  # so that no request has to note its use
    return secret, await _row(session, Token, fields, **made.model_dump(exclude={"id"}))


# The catalog


async def a_category(session: AsyncSession, name: str = "", parent: Category | None = None, **fields: Any) -> Category:
    """A category, at the top of the tree or under a parent."""
    number = next(numbers)
    name, parent_id = name or f"Category {number}", parent.id if parent else None
    return await _row(session, Category, fields, name=name, slug=f"category-{number}", parent_id=parent_id)


async def a_product(
    session: AsyncSession,
    name: str = "",
    category: Category | None = None,
    *,
    price: Amount = "9.99",
    stock_quantity: int = 0,
    **fields: Any,
) -> Product:
    """A product, and the initial movement of its stock where it has some."""
    number = next(numbers)
    product = await _row(
        session,
        Product,
        fields,
        name=name or f"Product {number}",
        slug=f"product-{number}",
        sku=f"P-{number}",
        price=Decimal(price),
        stock_quantity=stock_quantity,
        category_id=category.id if category else None,
    )
    if stock_quantity:
        initial = {"delta": stock_quantity, "reason": StockReason.INITIAL, "created_at": product.created_at}
        await _row(session, StockMovement, initial, product_id=product.id)
    return product


async def a_stock_movement(
    session: AsyncSession,
    product: Product | None = None,
    delta: int = 10,
    *,
    reason: StockReason = StockReason.ADJUSTMENT,
    **fields: Any,
) -> StockMovement:
    """Units that come or, below zero, go; the product's stock moves with them."""
    product = product or await a_product(session, stock_quantity=100)
    await _change(session, product, stock_quantity=col(Product.stock_quantity) + delta)
    return await _row(session, StockMovement, fields, product_id=product.id, delta=delta, reason=reason)


# Orders


async def an_order(
    session: AsyncSession,
    user: User | None = None,
    *lines: Line,
    total: Amount = "100.00",
    paid_amount: Amount = "0.00",
    status: OrderStatus = OrderStatus.PENDING,
    **fields: Any,
) -> Order:
    """An order of these lines, or of one product that costs `total`.

    It took its stock (what a product lacks is delivered first), was paid `paid_amount` by card, and went through every
    status up to `status`. All of that happened when the order was created.
    """
    user = user or await a_user(session)
    lines = lines or ((await a_product(session, price=total), 1),)
    for product, _ in lines:
        await session.refresh(product)
    total = sum((product.price * quantity for product, quantity in lines), start=Decimal(0))
    order = await _row(session, Order, fields, user_id=user.id, total_amount=total)
    then: dict[str, Any] = {"created_at": order.created_at}
    for product, quantity in lines:
        await _sell(session, order, product, quantity)
    await _row(session, OrderEvent, then, order_id=order.id, to_status=OrderStatus.PENDING, user_id=user.id)
    if Decimal(paid_amount):
        await a_payment(session, order, paid_amount, **then)
    for step in STEPS_TO[status]:
        await an_order_event(session, order, step, **then)
    return order


def order_body(*lines: Line, **fields: Any) -> dict[str, Any]:
    """What a client sends to order these lines."""
    return {"items": [{"product_id": product.id, "quantity": quantity} for product, quantity in lines], **fields}


async def an_order_item(
    session: AsyncSession, order: Order | None = None, product: Product | None = None, quantity: int = 1, **fields: Any
) -> OrderItem:
    """One more line of a pending order, whose total rises and which takes the stock."""
    order, product = order or await an_order(session), product or await a_product(session)
    await session.refresh(order)
    await session.refresh(product)
    assert order.status is OrderStatus.PENDING, "only a pending order gets another line"
    await _change(session, order, total_amount=col(Order.total_amount) + product.price * quantity)
    return await _sell(session, order, product, quantity, **fields)


async def _sell(session: AsyncSession, order: Order, product: Product, quantity: int, **fields: Any) -> OrderItem:
    """A line with the product as it is now, and the movement of its stock."""
    lacking = quantity - product.stock_quantity
    if lacking > 0:
        await a_stock_movement(session, product, lacking, created_at=order.created_at)
    its: dict[str, Any] = {"order_id": order.id, "user_id": order.user_id, "created_at": order.created_at}
    await a_stock_movement(session, product, -quantity, reason=StockReason.ORDER, **its)
    return await _row(
        session,
        OrderItem,
        fields,
        order_id=order.id,
        product_id=product.id,
        product_name=product.name,
        sku=product.sku,
        quantity=quantity,
        unit_price=product.price,
        total_price=product.price * quantity,
    )


async def an_order_event(
    session: AsyncSession, order: Order | None = None, to_status: OrderStatus = OrderStatus.CONFIRMED, **fields: Any
) -> OrderEvent:
    """An order's next status. Cancelling gives back its stock and what was paid."""
    order = order or await an_order(session)
    await session.refresh(order)
    before = order.status
    assert to_status in NEXT_STATUSES[order.status], f"an order with the status {before} cannot change to {to_status}"
    await _change(session, order, status=to_status)
    its = {"order_id": order.id, "user_id": order.user_id}
    event = await _row(session, OrderEvent, fields, from_status=before, to_status=to_status, **its)
    if to_status is OrderStatus.CANCELLED:
        await _restock_and_refund(session, order, created_at=event.created_at, user_id=event.user_id)
    return event


async def _restock_and_refund(session: AsyncSession, order: Order, **fields: Any) -> None:
    """Give back the stock and the money of an order that was cancelled."""
    for item in (await session.exec(select(OrderItem).where(OrderItem.order_id == order.id))).all():
        product = await session.get_one(Product, item.product_id)
        its = {"order_id": order.id, **fields}
        await a_stock_movement(session, product, item.quantity, reason=StockReason.CANCELLATION, **its)
    for payment in (await session.exec(select(Payment).where(Payment.order_id == order.id))).all():
        if payment.status is not PaymentStatus.REFUNDED:
            await a_refund(session, payment, reason="Order cancelled", **fields)


# Money


async def a_payment(
    session: AsyncSession,
    order: Order | None = None,
    amount: Amount | None = None,
    method: PaymentMethod = PaymentMethod.CARD,
    **fields: Any,
) -> Payment:
    """A payment of all that is due, or of a part. The order's status stays: see `an_order_event`.

    Store credit goes to the shop's sales; what the user's account lacks of it is issued first.
    """
    order = order or await an_order(session)
    await session.refresh(order)
    assert order.status is not OrderStatus.CANCELLED, "a cancelled order cannot be paid"
    amount = order.total_amount - order.paid_amount if amount is None else Decimal(amount)
    await _change(session, order, paid_amount=col(Order.paid_amount) + amount)
    payment = await _row(session, Payment, fields, order_id=order.id, method=method, amount=amount)
    if method is PaymentMethod.STORE_CREDIT:
        account, sales = await _account_of(session, order), await _shop_account(session, ShopAccount.SALES)
        if account.balance < amount:
            await a_transaction(session, to_account=account, amount=amount - account.balance)
        await a_transaction(session, account, sales, amount, order_id=order.id)
    return payment


async def a_refund(
    session: AsyncSession, payment: Payment | None = None, amount: Amount | None = None, **fields: Any
) -> Refund:
    """A refund of what is left of a payment, or of a part; store credit goes back to its account."""
    payment = payment or await a_payment(session)
    await session.refresh(payment)
    amount = payment.amount - payment.refunded_amount if amount is None else Decimal(amount)
    await _change(session, payment, refunded_amount=col(Payment.refunded_amount) + amount)
    order = await session.get_one(Order, payment.order_id)
    await _change(session, order, refunded_amount=col(Order.refunded_amount) + amount)
    if payment.refunded_amount == payment.amount:
        await _change(session, payment, status=PaymentStatus.REFUNDED)
    if payment.method is PaymentMethod.STORE_CREDIT:
        account, sales = await _account_of(session, order), await _shop_account(session, ShopAccount.SALES)
        await a_transaction(session, sales, account, amount, order_id=order.id)
    return await _row(session, Refund, fields, payment_id=payment.id, amount=amount, reason="Scratched")


async def an_account(
    session: AsyncSession, user: User | None = None, balance: Amount = "0.00", **fields: Any
) -> Account:
    """A user's account; its balance is a transaction from the shop's account of issued credit."""
    user = user or await a_user(session)
    account = await _row(session, Account, fields, name=f"Store credit {user.id}", user_id=user.id)
    if Decimal(balance):
        await a_transaction(session, to_account=account, amount=balance)
    return account


async def a_transaction(
    session: AsyncSession,
    from_account: Account | None = None,
    to_account: Account | None = None,
    amount: Amount = "25.00",
    **fields: Any,
) -> Transaction:
    """Money that went from one account, by default that of issued credit, to another; both balances change."""
    source = from_account or await _shop_account(session, ShopAccount.ISSUED)
    target = to_account or await an_account(session)
    amount = Decimal(amount)
    await _change(session, source, balance=col(Account.balance) - amount)
    await _change(session, target, balance=col(Account.balance) + amount)
    accounts = {"from_account_id": source.id, "to_account_id": target.id}
    return await _row(session, Transaction, fields, amount=amount, **accounts)


async def _account_of(session: AsyncSession, order: Order) -> Account:
    """The account of whoever ordered, made now if there is none."""
    own = (await session.exec(select(Account).where(Account.user_id == order.user_id))).one_or_none()
    return own or await an_account(session, await session.get_one(User, order.user_id))


async def _shop_account(session: AsyncSession, which: ShopAccount) -> Account:
    return (await session.exec(select(Account).where(Account.name == which.value))).one()


# Content


async def a_post(
    session: AsyncSession,
    author: User | None = None,
    title: str = "Ten headphones",
    *,
    tags: Sequence[Tag] = (),
    status: PostStatus = PostStatus.PUBLISHED,
    **fields: Any,
) -> Post:
    """A published post, with these tags; one in another status was never published."""
    author, slug = author or await a_user(session), f"post-{next(numbers)}"
    published_at = utcnow() if status is PostStatus.PUBLISHED else None
    texts = {"title": title, "slug": slug, "content": "We listened."}
    post = await _row(session, Post, fields, author_id=author.id, status=status, published_at=published_at, **texts)
    for tag in tags:
        await a_post_tag(session, post, tag)
    return post


async def a_tag(session: AsyncSession, name: str = "", **fields: Any) -> Tag:
    """A tag; its slug is not made from its name, so pass `slug` where that matters."""
    number = next(numbers)
    return await _row(session, Tag, fields, name=name or f"Tag {number}", slug=f"tag-{number}")


async def a_post_tag(session: AsyncSession, post: Post | None = None, tag: Tag | None = None) -> PostTag:
    """A tag of a post."""
    post, tag = post or await a_post(session), tag or await a_tag(session)
    return await _row(session, PostTag, {}, post_id=post.id, tag_id=tag.id)


async def a_notification(session: AsyncSession, user: User | None = None, **fields: Any) -> Notification:
    """A notification that its user has not read; `read_at` says that they have."""
    user, message = user or await a_user(session), f"Notification {next(numbers)}"
    kind = NotificationKind.CREDIT_RECEIVED
    return await _row(session, Notification, fields, user_id=user.id, kind=kind, message=message)


# What the app keeps of requests


async def an_idempotency_key(session: AsyncSession, user: User | None = None, **fields: Any) -> IdempotencyKey:
    """A key that was used for an order, and the answer that is kept with it."""
    user, request = user or await a_user(session), {"route": "POST /orders", "fingerprint": "0" * 64}
    answer = {"status_code": 201, "body": "{}"}
    return await _row(session, IdempotencyKey, fields, user_id=user.id, key=f"key-{next(numbers)}", **request, **answer)


async def an_audit_entry(session: AsyncSession, product: Product | None = None, **fields: Any) -> AuditEntry:
    """The entry of a product's stock as it is, by nobody."""
    product = product or await a_product(session)
    changes = {"stock_quantity": [None, product.stock_quantity]}
    its = {"action": AuditAction.CREATED, "entity": "products", "row_id": product.id, "changes": changes}
    return await _row(session, AuditEntry, {**its, **fields})


async def an_event(session: AsyncSession, **fields: Any) -> Event:
    """What other programs are told of a user who was erased, and which has no place in the feed yet."""
    user_id = next(numbers)
    erased = {"type": EventType.USER_ERASED, "subject": f"users/{user_id}", "data": {"id": user_id}}
    return await _row(session, Event, fields, **erased)


async def a_webhook(session: AsyncSession, **fields: Any) -> Webhook:
    """A webhook of all types, at a host that nobody has."""
    url = f"https://hooks-{next(numbers)}.example.com/shop"
    return await _row(session, Webhook, {"url": url, "secret": new_secret(), **fields})


async def a_webhook_delivery(
    session: AsyncSession, event: Event | None = None, webhook: Webhook | None = None, **fields: Any
) -> WebhookDelivery:
    """A delivery that is due."""
    event, webhook = event or await an_event(session), webhook or await a_webhook(session)
    return await _row(session, WebhookDelivery, fields, event_id=event.id, webhook_id=webhook.id, subject=event.subject)


async def a_registration(session: AsyncSession, username: str | None = None, **fields: Any) -> Registration:
    """A registration that waits, of somebody with the password `PASSWORD`."""
    username = username or f"waiting_{next(numbers)}"
    its = {"username": username, "email": f"{username}@example.com", "hashed_password": PASSWORD_HASH}
    return await _row(session, Registration, fields, **its, expires_at=utcnow() + timedelta(days=1))


async def a_mail(
    session: AsyncSession, user: User | None = None, *, registration: Registration | None = None, **fields: Any
) -> Mail:
    """A mail with a link to a new password, or with one that confirms a registration, which is due."""
    if registration is not None:
        its = {"about": f"registrations/{registration.id}", "address": registration.email}
        return await _row(session, Mail, fields, kind=MailKind.REGISTRATION, registration_id=registration.id, **its)
    user_id = user.id if user else fields.pop("user_id", None) or (await a_user(session)).id
    reset = {"kind": MailKind.PASSWORD_RESET, "user_id": user_id, "about": f"users/{user_id}/password"}
    return await _row(session, Mail, fields, **reset)


async def a_job(session: AsyncSession, **fields: Any) -> Job:
    """A job that is due."""
    return await _row(session, Job, fields, name=f"job-{next(numbers)}")


async def an_attempt(session: AsyncSession, **fields: Any) -> Attempt:
    """One registration from some address, in a window of time that starts now."""
    subject = f"{next(numbers):064x}"  # as long as the hash that stands there
    return await _row(session, Attempt, fields, kind=AttemptKind.REGISTRATION, subject=subject, window_start=utcnow())
