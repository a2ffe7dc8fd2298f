"""Queue mails, count requests for a new password, and let a new e-mail address wait until it is confirmed.

A release without mail writes none beside this one, and takes a new address at once.
"""

import sqlalchemy as sa
from alembic import op

from api.models import columns
from migrations import online

revision = "e665c809d27e"
down_revision = "e63d21a8f835"
branch_labels = None
depends_on = None

COUNTED = "'failed_sign_ins_per_account', 'failed_sign_ins_per_address', 'registrations_per_address'"
COUNTED_NOW = f"{COUNTED}, 'password_resets_per_account', 'password_resets_per_address'"


def upgrade() -> None:
    op.create_table(
        "mails",
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
        sa.CheckConstraint(
            "kind IN ('order_confirmed', 'order_shipped', 'order_cancelled', 'payment_refunded', 'password_reset', 'email_confirmation', 'email_changed')",
            name=op.f("ck_mails_kind"),
        ),
        sa.CheckConstraint("status IN ('pending', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_mails_event_id_events"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("event_id", "kind", name=op.f("uq_mails_event_id_kind")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_mails_token_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("mails", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mails_event_id"), ["event_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_mails_status_due_at"), ["status", "due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_mails_user_id_status"), ["user_id", "status"], unique=False)
    online.add_column("users", sa.Column("pending_email", columns.UnicodeString(length=254), nullable=True))
    _count(COUNTED_NOW, before=COUNTED)


def downgrade() -> None:
    op.execute("DELETE FROM attempts WHERE kind IN ('password_resets_per_account', 'password_resets_per_address')")
    _count(COUNTED, before=COUNTED_NOW)
    op.drop_column("users", "pending_email")
    op.drop_table("mails")


def _count(kinds: str, before: str) -> None:
    """Change what is counted. The rows are few: each goes after a quarter of an hour, or at the next purge."""
    if op.get_context().dialect.name == "mysql":  # MariaDB does not know the DROP CHECK of MySQL; both know this
        op.execute("ALTER TABLE attempts DROP CONSTRAINT ck_attempts_kind")
        op.create_check_constraint(op.f("ck_attempts_kind"), "attempts", f"kind IN ({kinds})")
        return
    with op.batch_alter_table("attempts", copy_from=_attempts(before)) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_attempts_kind"), type_="check")
        batch_op.create_check_constraint(batch_op.f("ck_attempts_kind"), f"kind IN ({kinds})")


def _attempts(kinds: str) -> sa.Table:
    """The table as it is, which SQLite copies; read from here, it can be printed by `--sql` too."""
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
