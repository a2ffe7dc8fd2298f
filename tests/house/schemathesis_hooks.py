"""What Schemathesis has to know of the shop: how to stay signed in, and what no schema can say.

It deletes users, revokes tokens and changes passwords as it goes, and is then signed in anew, as whoever is staff: the
shop promises that one always is. Found by the name of this module in SCHEMATHESIS_HOOKS.
"""

import asyncio
import os
import re
from datetime import timedelta
from itertools import count
from typing import Any

import schemathesis
from sqlmodel import col, func, select

from api.auth.tokens import new_token
from api.models.base import utcnow
from api.models.token import TokenKind
from api.models.user import User
from tests.faults.shop import a_look_into
from tests.support import save

BEYOND_SCHEMAS = {
    r"query\.cursor": r"is not a cursor that this list returned",
    r"query\.(skip|limit)": r"must not be sent together with .*",
    r"query\.row_id": r"must be sent together with entity: .*",
    r"line \d+(\.\w+)?": r".*",  # a file is only text to the document
    r"header\.Idempotency-Key": r"was already used for another request",
    # Its coverage phase finds no text that begins with a quotation mark, and sends 0 for a valid one.
    r"header\.If-(None-)?Match": r"must be ETags in quotes, .*",
    # What another row has to be there for.
    r"body(\.\d+)?\.category_id": r"the category \d+ does not exist",
    r"body\.parent_id": r"there is no such category",
    r"body\.tags": r"the tag [a-z0-9-]+ does not exist",
    r"body\.items": r"product \d+ does not exist or is no longer for sale|the total exceeds [\d,.]+",
    r"body\.user_id": r"the user does not exist or is inactive|user \d+ is a staff user, .*",
    r"body\.to_account_id": r"there is no such account|must differ from from_account_id",
    r"path\.id": r"is the shop's account for issued credit, which takes no deposits",
    # Domains that are reserved, such as `.test`, and what else `format: email` leaves open.
    r"body(\.\d+)?\.email": r"value is not a valid email address: .*",
    # No pattern says what a URL is: scheme, host, port and path are looked at one by one, after blanks are stripped.
    r"body\.url": r"must (begin with|have a host|not hold|not have a fragment|write an address|hold letters) .*",
    # `multipleOf: 0.01` would say it, were it not that in binary 79.99 is no multiple of 0.01.
    r"(body(\.\d+)?|query)\.(price|amount|min_price|max_price)": r"Decimal input should have no more than .*",
    # A schema knows no size of a whole document, nor its depth, nor each text within.
    r"body(\.\d+)?\.attributes": r"must not (be nested deeper|exceed 10,000 characters|contain the NUL character).*",
}
"""Reasons to refuse a request that fits its schema: where, and why."""


UNIQUE = {
    "username": "{}_{}",
    "email": "{1}.{0}",
    "name": "{} {}",
    "sku": "{}-{}",
    "slug": "{}-{}",
    "title": "{} {}",
    "reference": "{}-{}",
}
"""How a value becomes one that no other row has."""

_numbers = count(1)


@schemathesis.serializer("application/jsonl")
def as_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A file, which it sends as it made it."""
    return value if isinstance(value, bytes) else getattr(value, "data", None) or str(value).encode()


async def a_token_of_staff(database_url: str) -> str:
    async with a_look_into(database_url) as session:
        staff = select(User).where(col(User.is_superuser), col(User.is_active)).order_by(col(User.id)).limit(1)
        secret, token = new_token((await session.exec(staff)).one(), TokenKind.SESSION, "Fuzzing", timedelta(days=1))
        token.last_used_at = utcnow()  # so that no request has to note its use
        await save(session, token)
    return secret


async def a_customer(database_url: str) -> int:
    async with a_look_into(database_url) as session:
        newest = select(func.max(col(User.id))).where(~col(User.is_superuser), col(User.is_active))
        return (await session.exec(newest)).one() or 0


@schemathesis.auth(retry_on=[401, 403])
class SignedInAsStaff:
    """Until a request is refused; then it is sent again with a new token."""

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> str:
        return asyncio.run(a_token_of_staff(os.environ["FUZZED_DATABASE_URL"]))

    def set(self, case: schemathesis.Case[Any], token: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Have the document's examples be done, however often they are sent: so each operation is done once at least."""
    if case.meta is None or case.meta.phase.name != "examples" or not case.meta.generation.mode.is_positive:
        return
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = "*"  # no version that stands in a document is that of a row
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"example-{next(_numbers)}"
    if case.path.endswith("/soft"):  # the document's user is the one who is signed in, and the last of the staff
        case.path_parameters["id"] = asyncio.run(a_customer(os.environ["FUZZED_DATABASE_URL"]))
    if case.media_type == "application/json":
        case.body = _with_values_of_its_own(case.body)


def _with_values_of_its_own(body: Any) -> Any:
    if isinstance(body, list):
        return [_with_values_of_its_own(each) for each in body]
    if not isinstance(body, dict):
        return body
    return {
        name: UNIQUE[name].format(value, next(_numbers)) if name in UNIQUE and isinstance(value, str) else value
        for name, value in body.items()
    }


@schemathesis.check
def refusals_of_valid_requests(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """A request that fits its schema is refused for nothing that the schema could have said."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    unforeseen = [
        f"{error['field']}: {error['message']}"
        for error in response.json()["errors"]
        if not any(
            re.fullmatch(where, error["field"]) and re.fullmatch(why, error["message"])
            for where, why in BEYOND_SCHEMAS.items()
        )
    ]
    assert not unforeseen, "The schema allows what is refused:\n" + "\n".join(unforeseen)
