"""Files of all rows of an entity, for staff: CSV for spreadsheets, JSON Lines for programs."""

from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from api.auth.callers import Staff
from api.database.sessions import Database
from api.errors import Unprocessable
from api.import_export.exports import start_of, write_export
from api.import_export.families import Export, export_of, exports
from api.models.base import utcnow
from api.routers.products import ProductFilters, filtered
from api.web.app_state import AppDatabase
from api.web.downloads import file_response
from api.web.file_formats import FileFormat
from api.web.routing import Router
from api.web.wrong_names import suggestion

router = Router("/exports", tag="exports")


def _declared(name: str) -> dict[int | str, dict[str, Any]]:
    """The answer as /docs shows it."""
    content = {
        each.media_type: {"schema": {"type": "string", "examples": [start_of(exports()[name], each)]}}
        for each in FileFormat
    }
    return {200: {"content": content}}


ExportName = Annotated[
    str, Path(description="What to export.", examples=["orders"], json_schema_extra={"enum": list(exports())})
]


class ExportQuery(BaseModel):
    format: FileFormat = Field(default=FileFormat.CSV, description="`jsonl` is JSON Lines: one object a line.")


class ProductExport(ExportQuery, ProductFilters):
    pass


@router.get("/products", response_class=Response, responses=_declared("products"))
async def export_products(
    request: Request, staff: Staff, query: Annotated[ProductExport, Query()], database: AppDatabase
) -> StreamingResponse:
    """Export the products that the filters of the product list find. The file can be imported again."""
    return await export_file(request, database, export_of("products", filtered(query, staff)), query.format)


@router.get("/{entity}", response_class=Response, responses=_declared("orders"))
async def export_rows(
    request: Request, entity: ExportName, staff: Staff, query: Annotated[ExportQuery, Query()], database: AppDatabase
) -> StreamingResponse:
    """Export all rows of an entity.

    `orders` have their lines, in CSV each as a row of its own; `customers` are the users who are no staff. A row is as
    it was when it was read: rows that change meanwhile are of different moments, but an order and its lines of one. The
    files of `categories` and `users` can be imported again.
    """
    if entity not in exports():
        raise Unprocessable("path.entity", f"is no export: {suggestion(entity, list(exports()))}")
    return await export_file(request, database, exports()[entity], query.format)


async def export_file(
    request: Request, database: Database, export: Export, file_format: FileFormat
) -> StreamingResponse:
    parts = write_export(database, export, file_format)
    name = f"{export.name}-{utcnow():%Y-%m-%d}.{file_format}"
    return await file_response(request, parts, name, file_format.media_type)
