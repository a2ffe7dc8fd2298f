"""Queue mails, let new addresses and registrations wait for the link in one, and count requests for them.

A release without mail writes none beside this one, and takes a new address or user at once.
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
COUNTED_NEW = "'password_resets_per_account', 'password_resets_per_address', 'registrations_per_email'"


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
    online.create_table(
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
        sa.Column("registration_id", columns.BigInt(), nullable=True),
        sa.Column("about", columns.UnicodeString(length=80), nullable=False),
        sa.Column("address", columns.UnicodeString(length=254), nullable=True),
        sa.Column("token_hash", columns.UnicodeString(length=64), nullable=True),
        sa.Column("token_expires_at", columns.Timestamp(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('order_confirmed', 'order_shipped', 'order_cancelled', 'payment_refunded', 'password_reset', "
            "'email_confirmation', 'email_changed', 'registration', 'account_exists', 'webhook_disabled')",
            name=op.f("ck_mails_kind"),
        ),
        sa.CheckConstraint("status IN ('pending', 'sent', 'failed')", name=op.f("ck_mails_status")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_mails_event_id_events"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mails_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.id"],
            name=op.f("fk_mails_registration_id_registrations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("event_id", "kind", name=op.f("uq_mails_event_id_kind")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_mails_token_hash")),
        sqlite_autoincrement=True,
    )
    online.create_index("ix_mails_registration_id", "mails", ["registration_id"])
    online.create_index("ix_mails_status_due_at", "mails", ["status", "due_at"])
    online.create_index("ix_mails_user_id_status", "mails", ["user_id", "status"])
    online.add_column("users", sa.Column("pending_email", columns.UnicodeString(length=254), nullable=True))
    online.replace_check("ck_attempts_kind", _attempts(COUNTED), f"kind IN ({COUNTED}, {COUNTED_NEW})")


def downgrade() -> None:
    op.execute(f"DELETE FROM attempts WHERE kind IN ({COUNTED_NEW})")  # noqa: S608
    online.replace_check("ck_attempts_kind", _attempts(f"{COUNTED}, {COUNTED_NEW}"), f"kind IN ({COUNTED})")
    online.drop_column("users", "pending_email")
    online.drop_table("mails")
    online.drop_table("registrations")


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
