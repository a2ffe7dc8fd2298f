"""Accounts: store credit, one per user, and the shop's own two."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, col, exists, not_

from api.models.base import Schema, Timestamps, check
from api.models.money import ZERO, Money
from api.models.texts import LINE
from api.models.types import Id
from api.models.user import Caller, User

AccountName = Annotated[str, Limits(max_length=100, examples=["Store credit 7"]), LINE]


class ShopAccount(StrEnum):
    """The names of the shop's own accounts, which a migration adds. Only these may go below zero."""

    ISSUED = "Issued credit"
    SALES = "Sales"


class AccountBase(Schema):
    """A client writes none: accounts are made on demand, and transactions change them."""

    name: AccountName


class Account(AccountBase, Timestamps, table=True):
    """A balance: what came in less what went out. All balances together are always zero."""

    __tablename__ = "accounts"
    __table_args__ = (check("balance", "balance >= 0 OR user_id IS NULL"),)

    id: Id = Field(default=None, primary_key=True)
    name: AccountName = Field(unique=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE", unique=True)
    balance: Money = Field(default=ZERO)

    @classmethod
    def visible_to(cls, user: Caller) -> ColumnElement[bool]:
        """The accounts that a user may read, as a condition."""
        return user.may_act_for_owner(cls.user_id)

    @classmethod
    def not_erased(cls) -> ColumnElement[bool]:
        """The accounts whose owner is not erased, as a condition: credit given to an erased user would be lost."""
        return not_(exists().where(col(User.id) == col(cls.user_id), col(User.erased_at).is_not(None)))


class AccountRead(AccountBase):
    id: Id
    user_id: Id | None
    balance: Money
    created_at: datetime
