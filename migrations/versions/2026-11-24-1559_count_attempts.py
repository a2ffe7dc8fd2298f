"""Count attempts."""

import sqlalchemy as sa
from alembic import op

from api.models import columns

revision = "76e6d6af1488"
down_revision = "d25e90b4c6f1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", columns.BigInt(), nullable=False),
        sa.Column("kind", columns.UnicodeString(length=35), nullable=False),
        sa.Column("subject", columns.UnicodeString(length=64), nullable=False),
        sa.Column("window_start", columns.Timestamp(), nullable=False),
        sa.Column("count", columns.BigInt(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('failed_sign_ins_per_account', 'failed_sign_ins_per_address', 'registrations_per_address')",
            name=op.f("ck_attempts_kind"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("kind", "subject", "window_start", name=op.f("uq_attempts_kind_subject_window_start")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempts_window_start"), ["window_start"], unique=False)


def downgrade() -> None:
    op.drop_table("attempts")
