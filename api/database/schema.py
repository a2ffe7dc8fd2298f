"""Whether the tables of the database are those of this release. Alembic notes in the database how far they are."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlmodel import text

from api.database.drivers import DriverConnection
from api.database.errors import is_unknown_table
from api.database.statements import Statement

MIGRATIONS = Path(__file__).parent.parent.parent / "migrations"

SELECT_REVISION = Statement(text("SELECT version_num FROM alembic_version"))

NO_TABLES = "The database has no tables of the shop yet. Run `alembic upgrade head`."
OLDER = "The database is of an older release than this code. Run `alembic upgrade head`."
NEWER = "The database is of a newer release than this code. Deploy that release, or downgrade the database by it."


class Revisions(NamedTuple):
    """Those that this release has, and the last one of them."""

    known: frozenset[str]
    head: str | None


@cache
def revisions() -> Revisions:
    """Read the folder of migrations, which takes some hundredths of a second."""
    from alembic.script import ScriptDirectory  # a worker would start later if this were imported with it

    scripts = ScriptDirectory(str(MIGRATIONS))
    return Revisions(frozenset(each.revision for each in scripts.walk_revisions()), scripts.get_current_head())


async def difference(connection: DriverConnection) -> str | None:
    """How the tables differ from those of this release, in a sentence; `None` where they do not.

    Raises:
        sqlalchemy.exc.DBAPIError: The database does not answer.
    """
    try:
        found = {str(row[0]) for row in await connection.fetch(SELECT_REVISION)}
    except DBAPIError as error:
        if is_unknown_table(error):
            return NO_TABLES
        raise
    known, head = revisions()
    if not found:
        return NO_TABLES
    if found == {head}:
        return None
    return OLDER if found <= known else NEWER
