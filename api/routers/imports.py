"""Files of rows that are added or changed, for staff: CSV, also as spreadsheets write it, or JSON Lines.

The body is the file itself: `curl --data-binary @products.csv -H 'Content-Type: text/csv'`.
"""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from api.auth.callers import Staff
from api.import_export.columns import example_of
from api.import_export.imports import ImportReport, Options, imports
from api.import_export.reading import check
from api.import_export.writing import try_out, write
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


class FileImport:
    """The import of a body, which is read once the caller is known to be staff."""

    def __init__(self, staff: Staff, upload: Upload, database: AppDatabase, begin: LaterWriteSession) -> None:
        self._staff, self._upload, self._database, self._begin = staff, upload, database, begin

    async def run(self, name: str, options: Options) -> ImportReport:
        """Checks without a transaction, and then writes in that of the route, which an `Idempotency-Key` is stored in.

        What a dry run has to write has a transaction of its own, so that the key stays when that is undone.
        """
        what = imports()[name]
        async with check(self._database, what, self._upload.file, self._upload.file_format, options) as checked:
            if not options.dry_run:
                await write(await self._begin(), what, checked.staging, self._staff.id)
            elif what.finish is not None:
                await try_out(self._database, what, checked.staging)
            return checked.report


RunImport = Annotated[FileImport, Depends()]


@router.post("/products", responses=problems(409), openapi_extra=_file("products"))
async def import_products(query: Annotated[ProductImport, Query()], file: RunImport) -> ImportReport:
    """Add and change products. The `sku` says which product a row is; absent columns stay as they are.

    A category is named by its slug or its name, in the column `category`. All rows are imported or, where one is
    wrong, none; each mistake is reported with its line and its column.
    """
    return await file.run("products", Options(query.dry_run, query.skip_bad_rows, query.stock))


@router.post("/categories", responses=problems(409), openapi_extra=_file("categories"))
async def import_categories(query: Annotated[ImportQuery, Query()], file: RunImport) -> ImportReport:
    """Add and change categories. The `slug` or, where there is none, the `name` says which category a row is.

    The `parent` is a slug or a name, also of a row further down.
    """
    return await file.run("categories", Options(query.dry_run, query.skip_bad_rows))


@router.post("/users", responses=problems(409), openapi_extra=_file("users"))
async def import_users(query: Annotated[ImportQuery, Query()], file: RunImport) -> ImportReport:
    """Add and change users. The `email` or, where there is none, the `username` says which user a row is.

    A new user without a `password` cannot sign in. Passwords are hashed one by one, which takes about 20 ms each: leave
    them out of long files. Nobody becomes staff by a file. The password of a user who exists stays as it is.
    """
    return await file.run("users", Options(query.dry_run, query.skip_bad_rows))
