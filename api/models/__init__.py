"""Every entity, one line each: importing this package fills `SQLModel.metadata`.

Code imports a class from the file of its family, such as `from api.models.product import Product`.
"""

from api.models import (
    account,
    attempt,
    audit_entry,
    category,
    event,
    idempotency_key,
    job,
    mail,
    notification,
    order,
    order_event,
    order_item,
    payment,
    post,
    product,
    refund,
    registration,
    stock_movement,
    tag,
    token,
    transaction,
    user,
    webhook,
    webhook_delivery,
)
