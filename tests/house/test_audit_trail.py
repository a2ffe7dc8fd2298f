"""The audit trail misses nothing: every route is called, and all rows are compared before and after it.

So what a new route or a new entity changes is in the trail, or its class says with a reason why not.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import inspect
from sqlmodel import bindparam, col, delete, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import hash_token
from api.database.sessions import Database
from api.database.statements import Insertion, Statement
from api.models.audit_entry import AuditEntry
from api.models.audited import audited_names, tables_of_people, writers
from api.models.columns import UnicodeString
from api.models.product import Product
from api.models.tag import Tag
from api.models.token import Token
from tests.house import audit_walk
from tests.house.access_matrix import Line, matrix
from tests.house.families import ENTITIES, TABLES, file_of, table_of
from tests.support import FreshSession
from tests.world import OTHER, OWNER, STAFF, World

WITHOUT_ENTRY = {
    "POST /webhook-deliveries/{id}/replay": "a delivery tells of an event, and the worker changes it",
    "POST /webhooks/{id}/replay": "so do all of them",
    "POST /webhooks/{id}/test": "a delivery is queued, and nothing else changes",
    "POST /auth/password/reset": "a mail is queued, and nothing else changes",
    "POST /notifications/{id}/read": "a notification tells of a change that has an entry",
    "PATCH /users/bulk/deactivate": "nobody in the world is idle: see tests/routes/audit/test_audit.py",
}
"""Routes that write no entry, each with its reason."""

PROVING = {
    "POST /auth/token",
    "POST /auth/password/reset/confirm",
    "POST /auth/email/confirm",
    "POST /password-reset",
    "POST /email-confirmation",
}
"""What is sent says who sends it: a password, or the secret of a link. A token counts for nothing there."""

OF_NOBODY = {"POST /auth/registration/confirm", "POST /registration-confirmation"}
"""What nobody is yet who sends it."""

IDS = {"owner": OWNER, "other": OTHER, "staff": STAFF}


def is_write(line: Line) -> bool:
    return line.method != "GET"


def allowed() -> Iterator[Any]:
    """Every route that writes, as each caller who may call it, and every other route as one of them."""
    for line in matrix():
        callers = [caller for caller, status in line.statuses.items() if status < 400]
        if not line.path.startswith(("/docs", "/openapi.json")):
            for caller in callers if is_write(line) else callers[-1:]:
                yield pytest.param(line, caller, id=f"{line} as {caller}")


@pytest.mark.parametrize(("line", "caller"), list(allowed()))
async def test_the_trail_tells_exactly_what_a_route_changed(
    app: FastAPI, database: Database, world: World, line: Line, caller: str
) -> None:
    await world.restore()
    async with FreshSession(database.engine) as session:
        token = await _token_of(session, world.secrets.get(caller))
        before = await audit_walk.rows_now(session)
        await line.send(app, world, caller, {"X-Request-ID": "the-walk"})
        after = await audit_walk.rows_now(session)
        entries = await audit_walk.entries_of_request(session, "the-walk")
        of_requests = select(AuditEntry.id).where(col(AuditEntry.request_id).is_not(None))
        written = (await session.exec(of_requests)).all()

    changed = audit_walk.difference(before, after)
    wrong = audit_walk.differing(changed, audit_walk.told_by([each for each in entries if each.entity != "post_tags"]))
    assert not wrong, f"{line}: the trail does not tell what it changed:\n" + "\n".join(wrong)
    assert len(written) == len(entries), f"{line}: entries have another request id"
    if is_write(line) and line.route not in WITHOUT_ENTRY:
        assert entries, f"{line} writes no entry: WITHOUT_ENTRY in tests/house/test_audit_trail.py wants a reason"
    who = {(each.user_id, each.token_id, each.command) for each in entries}
    expected = (IDS.get(caller), token, None)
    if line.route in PROVING | OF_NOBODY:
        expected = (OWNER if line.route in PROVING else None, None, None)
    assert who <= {expected}, f"{line}: {caller} is {who}"
    told = list(audit_walk.found_in(entries, audit_walk.withheld_texts(before, after)))
    assert not told, f"{line}: the trail tells {told}"


async def _token_of(session: AsyncSession, secret: str | None) -> int | None:
    if secret is None:
        return None
    return (await session.exec(select(Token.id).where(Token.token_hash == hash_token(secret)))).one()


class TestReasons:
    @pytest.mark.parametrize("route", WITHOUT_ENTRY)
    def test_every_route_without_an_entry_is_a_route(self, route: str) -> None:
        assert route in {line.route for line in matrix() if is_write(line)}

    @pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
    def test_what_is_not_audited_has_a_reason_and_a_column(self, entity: Any) -> None:
        for each in entity.__mro__:
            reasons = vars(each).get("not_audited", {})
            if isinstance(reasons, str):
                assert reasons.strip(), f"{file_of(entity)}: not_audited of {entity.__name__} has no reason"
                continue
            for name, reason in reasons.items():
                assert reason.strip(), f"{file_of(entity)}: not_audited has no reason for {name}"
                assert name in table_of(entity).columns, f"{file_of(entity)}: not_audited names no column {name}"

    @pytest.mark.parametrize("table", TABLES, ids=str)
    def test_no_audited_row_goes_with_a_row_that_is_not(self, table: Any) -> None:
        """The trail follows the foreign keys of audited tables alone."""
        parents = {key.column.table for key in table.foreign_keys if key.ondelete in ("CASCADE", "SET NULL")}
        if audited_names(table):
            assert not [each.name for each in parents if not audited_names(each)], f"{table.name} change unseen"


class TestWithheld:
    @pytest.mark.parametrize("table", sorted(tables_of_people(), key=str), ids=str)
    def test_no_text_of_a_row_that_goes_with_its_user_is_told(self, table: Any) -> None:
        told = [
            name
            for name, write in writers(table.name).items()
            if write and isinstance(table.columns[name].type, UnicodeString)
        ]
        assert not told

    def test_users_and_what_they_write_are_of_people(self) -> None:
        assert {"users", "posts", "tokens", "accounts"} <= {each.name for each in tables_of_people()}
        assert not {"products", "categories", "orders"} & {each.name for each in tables_of_people()}

    @pytest.mark.parametrize(
        ("table", "name"), [("orders", "shipping_address"), ("payments", "reference"), ("refunds", "reason")]
    )
    def test_personal_texts_of_kept_rows_are_not_told(self, table: str, name: str) -> None:
        assert writers(table)[name] is None


class TestStatements:
    """What is compiled once is seen by no event, so it says that it is recorded."""

    def test_a_statement_that_nobody_records_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"nobody records a change of products.price"):
            Statement(update(Product).values(price=bindparam("price")))
        assert Statement(update(Product).values(updated_at=bindparam("now")))
        with pytest.raises(TypeError, match=r"nobody records a change of tags.name"):
            _ = Insertion(Tag).one

    def test_an_entry_is_never_changed(self) -> None:
        with pytest.raises(TypeError, match="the audit trail is insert-only"):
            Statement(update(AuditEntry).values(entity="x"), recorded=True)

    async def test_a_session_changes_no_entry_and_adds_no_row_past_the_trail(self, database: Database) -> None:
        for statement, message in (
            (delete(AuditEntry), "insert-only"),
            (update(AuditEntry).values(entity="x"), "insert-only"),
            (insert(Tag).values(name="x", slug="x"), "tags are audited: add rows to the session"),
        ):
            with pytest.raises(TypeError, match=message):
                async with database.transaction() as session:
                    await session.exec(statement)

    async def test_a_row_is_inserted_in_a_transaction(self, database: Database) -> None:
        insertion = Insertion(Tag)
        with pytest.raises(RuntimeError, match="tags are audited"):
            async with database.connection() as connection:
                await connection.insert(insertion, **insertion.values(name="x", slug="x"))

    def test_the_trail_is_a_table_of_its_own(self) -> None:
        assert not inspect(AuditEntry).local_table.foreign_keys, "entries outlive their rows, users and tokens"
