"""Files of rows that are added or changed, for staff: CSV, also as spreadsheets write it, or JSON Lines.

The body is the file itself: `curl --data-binary @products.csv -H 'Content-Type: text/csv'`.
"""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import Staff
from api.database.transactions import undo
from api.import_export.columns import example_of
from api.import_export.imports import ImportReport, Options, imports
from api.import_export.reading import check, tell_nobody
from api.import_export.writing import write
from api.models.user import Caller
from api.web.app_state import AppDatabase
from api.web.file_formats import FileFormat
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import LaterWriteSession
from api.web.uploads import Upload

router = Router("/imports", tag="imports")


class ImportQuery(BaseModel):
    dry_run: bool = Field(default=False, description="Check all rows, and write nothing.")
    skip_bad_rows: bool = Field(default=False, description="Import the good rows although others are wrong.")


class ProductImport(ImportQuery):
    stock: bool = Field(
        default=False,
        description="Set the stock of products that exist to that of the file, by stock movements. Without it only new "
        "products get their stock from the file, so that an older file does not undo what was sold since.",
    )


def _file(name: str) -> dict[str, Any]:
    """The body as /docs shows it."""
    content = {
        each.media_type: {
            "schema": {"type": "string", "format": "binary", "title": "File", "examples": [example_of(name, each)]}
        }
        for each in FileFormat
    }
    return {"requestBody": {"required": True, "content": content}}


@router.post("/products", responses=problems(409), openapi_extra=_file("products"))
async def import_products(
    staff: Staff,
    query: Annotated[ProductImport, Query()],
    upload: Upload,
    database: AppDatabase,
    begin: LaterWriteSession,
) -> ImportReport:
    """Add and change products. The `sku` says which product a row is; absent columns stay as they are.

    A category is named by its slug or its name, in the column `category`. All rows are imported or, where one is
    wrong, none; each mistake is reported with its line and its column.
    """
    options = Options(query.dry_run, query.skip_bad_rows, query.stock)
    return await _import("products", staff, options, upload, database, begin)


@router.post("/categories", responses=problems(409), openapi_extra=_file("categories"))
async def import_categories(
    staff: Staff,
    query: Annotated[ImportQuery, Query()],
    upload: Upload,
    database: AppDatabase,
    begin: LaterWriteSession,
) -> ImportReport:
    """Add and change categories. The `slug` or, where there is none, the `name` says which category a row is.

    The `parent` is a slug or a name, also of a row further down.
    """
    return await _import("categories", staff, Options(query.dry_run, query.skip_bad_rows), upload, database, begin)


@router.post("/users", responses=problems(409), openapi_extra=_file("users"))
async def import_users(
    staff: Staff,
    query: Annotated[ImportQuery, Query()],
    upload: Upload,
    database: AppDatabase,
    begin: LaterWriteSession,
) -> ImportReport:
    """Add and change users. The `email` or, where there is none, the `username` says which user a row is.

    A new user without a `password` cannot sign in. Passwords are hashed one by one, a hundred in a second: leave them
    out of long files. Nobody becomes staff by a file, and no password of a user who exists changes.
    """
    return await _import("users", staff, Options(query.dry_run, query.skip_bad_rows), upload, database, begin)


async def _import(
    name: str, staff: Caller, options: Options, upload: Upload, database: AppDatabase, begin: LaterWriteSession
) -> ImportReport:
    """Checks without a transaction, and then writes in that of the route, which the `Idempotency-Key` is stored in."""
    what = imports()[name]
    async with check(database, what, upload.file, upload.file_format, options) as checked:
        session: AsyncSession = await begin()
        if not options.dry_run or what.finish is not None:
            await write(session, what, checked.staging, staff.id, tell_nobody)
        if options.dry_run:
            await undo(session)
        return checked.report
