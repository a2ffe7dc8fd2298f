"""Transactions: money that went from one account to another."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field

from api.models.base import NotAudited, Schema, check, utcnow
from api.models.money import Amount
from api.models.texts import LINE
from api.models.types import Id

CreditAmount = Annotated[Amount, Limits(examples=["25.00"])]
TransactionDescription = Annotated[str | None, Limits(max_length=200, examples=["Happy birthday"]), LINE]
FromAccount = Annotated[Id, Limits(examples=[3])]
ToAccount = Annotated[Id, Limits(examples=[4])]


class TransactionBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = {
        "balance": "it changes by `POST /accounts/transfers` and `POST /accounts/{id}/deposits`",
        "user_id": "accounts have ids of their own; `GET /accounts/me` shows the caller's",
    }

    amount: CreditAmount
    description: TransactionDescription = None


class Transaction(TransactionBase, table=True):
    """Insert-only double entry: one row takes from one account and gives to the other."""

    __tablename__ = "transactions"
    not_audited: ClassVar[NotAudited] = "insert-only: the entries of both accounts say the same"
    __table_args__ = (check("amount", "amount > 0"), check("accounts", "from_account_id <> to_account_id"))

    id: Id = Field(default=None, primary_key=True)
    from_account_id: FromAccount = Field(foreign_key="accounts.id", ondelete="RESTRICT", index=True)
    to_account_id: ToAccount = Field(foreign_key="accounts.id", ondelete="RESTRICT", index=True)
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class DepositCreate(TransactionBase):
    pass


class TransferCreate(TransactionBase):
    to_account_id: ToAccount
    from_account_id: FromAccount | None = Field(default=None, description="The caller's own account when absent.")


class TransactionRead(TransactionBase):
    id: Id
    from_account_id: FromAccount
    to_account_id: ToAccount
    order_id: Id | None
    created_at: datetime
