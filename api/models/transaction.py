"""Transactions: money that went from one account to another."""

from datetime import datetime

from pydantic import AwareDatetime
from sqlmodel import Field

from api.models.base import Amount, Id, Schema, check, utcnow


class TransactionBase(Schema):
    """What a client may write."""

    amount: Amount = Field(schema_extra={"examples": ["25.00"]})
    description: str | None = Field(default=None, max_length=200, schema_extra={"examples": ["Happy birthday"]})


class Transaction(TransactionBase, table=True):
    """Insert-only double entry: one row takes from one account and gives to the other."""

    __tablename__ = "transactions"
    __table_args__ = (check("amount", "amount > 0"), check("accounts", "from_account_id <> to_account_id"))

    id: Id = Field(default=None, primary_key=True)
    from_account_id: Id = Field(foreign_key="accounts.id", ondelete="RESTRICT", index=True)
    to_account_id: Id = Field(foreign_key="accounts.id", ondelete="RESTRICT", index=True)
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class DepositCreate(TransactionBase):
    pass


class TransferCreate(TransactionBase):
    to_account_id: Id = Field(schema_extra={"examples": [4]})
    from_account_id: Id | None = Field(
        default=None, description="One's own when absent.", schema_extra={"examples": [3]}
    )


class TransactionRead(TransactionBase):
    id: Id
    from_account_id: Id = Field(schema_extra={"examples": [3]})
    to_account_id: Id = Field(schema_extra={"examples": [4]})
    order_id: Id | None
    created_at: datetime
