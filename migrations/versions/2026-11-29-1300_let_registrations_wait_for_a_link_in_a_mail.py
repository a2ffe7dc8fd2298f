"""Let registrations wait for a link in a mail, and count how many mails of them go to an address.

A release without them neither writes such a mail nor knows its kind: let none wait when you go back.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "e35f2ec4aa34"
down_revision = "3c8d5f70a1e9"
branch_labels = None
depends_on = None

COUNTED = (
    "'failed_sign_ins_per_account', 'failed_sign_ins_per_address', 'registrations_per_address', "
    "'password_resets_per_account', 'password_resets_per_address'"
)
COUNTED_NOW = f"{COUNTED}, 'registrations_per_email'"

KINDS = (
    "'order_confirmed', 'order_shipped', 'order_cancelled', 'payment_refunded', 'password_reset', "
    "'email_confirmation', 'email_changed', 'webhook_disabled'"
)
NEW_KINDS = "'registration', 'account_exists'"
KINDS_NOW = f"{KINDS}, {NEW_KINDS}"

INDEX, KEY = "ix_mails_registration_id", "fk_mails_registration_id_registrations"


def upgrade() -> None:
    online.create_table(
        "registrations",
        sa.Column("username", columns.UnicodeString(length=50), nullable=False),
        sa.Column("full_name", columns.UnicodeString(length=100), nullable=True),
        sa.Column("bio", columns.UnicodeString(length=500), nullable=True),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("email", columns.UnicodeString(length=254), nullable=False),
        sa.Column("hashed_password", columns.UnicodeString(length=255), nullable=False),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("expires_at", columns.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sqlite_autoincrement=True,
    )
    online.create_index("ix_registrations_email", "registrations", ["email"])
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table("mails", copy_from=_mails(KINDS)) as batch_op:
            batch_op.add_column(sa.Column("registration_id", columns.BigInt(), nullable=True))
            batch_op.create_index(INDEX, ["registration_id"])
            batch_op.create_foreign_key(KEY, "registrations", ["registration_id"], ["id"], ondelete="CASCADE")
            _change_kinds(batch_op, KINDS_NOW)
    else:
        online.add_column("mails", sa.Column("registration_id", columns.BigInt(), nullable=True))
        online.create_index(INDEX, "mails", ["registration_id"])
        _add_key()
        online.replace_check("ck_mails_kind", _mails(KINDS), f"kind IN ({KINDS_NOW})")
    online.replace_check("ck_attempts_kind", _attempts(COUNTED), f"kind IN ({COUNTED_NOW})")


def downgrade() -> None:
    op.execute("DELETE FROM attempts WHERE kind = 'registrations_per_email'")
    online.replace_check("ck_attempts_kind", _attempts(COUNTED_NOW), f"kind IN ({COUNTED})")
    op.execute(f"DELETE FROM mails WHERE kind IN ({NEW_KINDS})")  # noqa: S608
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table("mails", copy_from=_mails(KINDS_NOW, with_registrations=True)) as batch_op:
            batch_op.drop_index(INDEX)
            batch_op.drop_constraint(KEY, type_="foreignkey")
            batch_op.drop_column("registration_id")
            _change_kinds(batch_op, KINDS)
    else:
        online.replace_check("ck_mails_kind", _mails(KINDS_NOW), f"kind IN ({KINDS})")
        with online.by_itself("mails"):
            _drop_key(is_there=True)
        online.drop_index(INDEX, "mails")
        online.drop_column("mails", "registration_id")
    online.drop_table("registrations")


def _change_kinds(batch_op: Any, kinds: str) -> None:
    batch_op.drop_constraint(batch_op.f("ck_mails_kind"), type_="check")
    batch_op.create_check_constraint(batch_op.f("ck_mails_kind"), f"kind IN ({kinds})")


def _add_key() -> None:
    """Add the foreign key in place of one that an interrupted run has left."""
    add = f"ADD CONSTRAINT {KEY} FOREIGN KEY (registration_id) REFERENCES registrations (id) ON DELETE CASCADE"
    with online.by_itself("mails"):
        if op.get_context().dialect.name == "postgresql":
            # Not valid at first, or all writers wait until it has read the table.
            op.execute(f"ALTER TABLE mails DROP CONSTRAINT IF EXISTS {KEY}, {add} NOT VALID")
            op.execute(f"ALTER TABLE mails VALIDATE CONSTRAINT {KEY}")
        else:
            _drop_key(is_there=False)
            op.execute(f"ALTER TABLE mails {add}")


def _drop_key(*, is_there: bool) -> None:
    """`is_there` says what `--sql` takes for granted, which cannot look."""
    if op.get_context().as_sql:
        found = is_there
    else:
        found = KEY in {each["name"] for each in sa.inspect(op.get_bind()).get_foreign_keys("mails")}
    if found:
        op.execute(f"ALTER TABLE mails DROP CONSTRAINT {KEY}")


def _mails(kinds: str, *, with_registrations: bool = False) -> sa.Table:
    """The table as it is, which SQLite copies; read from here, it can be printed by `--sql` too."""
    refers = [
        sa.Column("registration_id", columns.BigInt(), nullable=True),
        sa.ForeignKeyConstraint(["registration_id"], ["registrations.id"], name=op.f(KEY), ondelete="CASCADE"),
        sa.Index(op.f(INDEX), "registration_id"),
    ]
    return sa.Table(
        "mails",
        sa.MetaData(),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("event_id", columns.BigInt(), nullable=True),
        sa.Column("status", columns.UnicodeString(length=15), nullable=False),
        sa.Column("attempts", columns.BigInt(), nullable=False),
        sa.Column("due_at", columns.Timestamp(), nullable=False),
        sa.Column("claim", columns.UnicodeString(length=32), nullable=True),
        sa.Column("claimed_until", columns.Timestamp(), nullable=True),
        sa.Column("created_at", columns.Timestamp(), nullable=False),
        sa.Column("sent_at", columns.Timestamp(), nullable=True),
        sa.Column("error", columns.UnicodeString(length=500), nullable=True),
        sa.Column("kind", columns.UnicodeString(length=26), nullable=False),
        sa.Column("user_id", columns.BigInt(), nullable=True),
        sa.Column("about", columns.UnicodeString(length=80), nullable=False),
        sa.Column("address", columns.UnicodeString(length=254), nullable=True),
        sa.Column("token_hash", columns.UnicodeString(length=64), nullable=True),
        sa.Column("token_expires_at", columns.Timestamp(), nullable=True),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_mails_kind")),
        sa.CheckConstraint("status IN ('pending', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_mails_event_id_events"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("event_id", "kind", name=op.f("uq_mails_event_id_kind")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_mails_token_hash")),
        sa.Index(op.f("ix_mails_event_id"), "event_id"),
        sa.Index(op.f("ix_mails_status_due_at"), "status", "due_at"),
        sa.Index(op.f("ix_mails_user_id_status"), "user_id", "status"),
        *(refers if with_registrations else ()),
        sqlite_autoincrement=True,
    )


def _attempts(kinds: str) -> sa.Table:
    return sa.Table(
        "attempts",
        sa.MetaData(),
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("kind", columns.UnicodeString(length=35), nullable=False),
        sa.Column("subject", columns.UnicodeString(length=64), nullable=False),
        sa.Column("window_start", columns.Timestamp(), nullable=False),
        sa.Column("count", columns.BigInt(), nullable=False),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_attempts_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("kind", "subject", "window_start", name=op.f("uq_attempts_kind_subject_window_start")),
        sa.Index(op.f("ix_attempts_window_start"), "window_start"),
        sqlite_autoincrement=True,
    )
