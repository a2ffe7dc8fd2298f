"""What the tests of the migrations share: the revisions, a revision of their own, and the world in any database."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.alembic_support import ROOT, on_engine
from tests.support import FreshSession
from tests.world import write_rows

REVISIONS = [each.revision for each in ScriptDirectory(ROOT / "migrations").walk_revisions()][::-1]
SCHEMA = REVISIONS[0]

DEFAULT_CATEGORIES = {
    "Electronics": "electronics",
    "Clothing": "clothing",
    "Books": "books",
    "Home & Garden": "home-garden",
}
"""The names and slugs of the categories that a migration adds."""

only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
where_ddl_is_transactional = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


def write_world(url: str) -> None:
    """Write the world into a migrated database."""

    async def write(engine: AsyncEngine) -> None:
        async with FreshSession(engine) as session:
            await write_rows(session)

    on_engine(url, write)


def draft(drafts: Path, body: str) -> None:
    """Write a revision after the last one into a folder."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (drafts / "2999-01-01-0000_draft.py").write_text(
        f'import time\n\nfrom alembic import op\n\nrevision = "draft"\ndown_revision = "{REVISIONS[-1]}"\n\n\n'
        f"def upgrade() -> None:\n{lines}\n\ndef downgrade() -> None:\n    pass\n"
    )
