"""Accounts: store credit, one per user, and the shop's own two."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field

from api.models.base import Id, Money, Schema, Timestamps, check


class ShopAccount(StrEnum):
    """The shop's own accounts, made by the first migration. They alone may go below zero."""

    ISSUED = "Issued credit"
    SALES = "Sales"


class AccountBase(Schema):
    """A client writes none: accounts are made on demand and change by transactions."""

    name: str = Field(max_length=100, schema_extra={"examples": ["Store credit 7"]})


class Account(AccountBase, Timestamps, table=True):
    """A balance: what came in less what went out. All balances together are zero, always."""

    __tablename__ = "accounts"
    __table_args__ = (check("balance", "balance >= 0 OR user_id IS NULL"),)

    id: Id = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE", unique=True)
    balance: Money = Field(default=0)


class AccountRead(AccountBase):
    id: Id
    user_id: Id | None
    balance: Money
    created_at: datetime
