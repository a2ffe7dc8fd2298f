"""Importing a file of rows: the page says what a file holds, sends one to the API's import, and shows its report."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.admin.entities import Entity
from api.admin.fields import Field, query_fields_of
from api.admin.forms import KEY
from api.admin.framework_internals import ApiRoute
from api.admin.in_process import Answer, SentFile, header_text
from api.admin.tasks import entity_of
from api.admin.visits import HEADERS, Visit, no_such_page
from api.import_export.columns import columns_of, example_of
from api.import_export.families import exports
from api.import_export.imports import MAX_PROBLEMS, ImportReport, RowProblem, imports
from api.routers.exports import export_file
from api.web.file_formats import FileFormat

LABELS = {"dry_run": "Only check", "stock": "Take over the stock"}
"""Options that a person knows by other words than a program."""

WRONG_FORMAT = "This is neither CSV nor JSON Lines: the name of the file must end with .csv or .jsonl."


@dataclass(frozen=True)
class Import:
    """The import of an entity, as its page offers it."""

    entity: Entity
    route: ApiRoute
    options: list[Field]

    def label_of(self, option: Field) -> str:
        return LABELS.get(option.key, option.label)


@dataclass
class Outcome:
    """What became of a file: a report, or why it was refused."""

    report: ImportReport | None = None
    problems: Collection[RowProblem] = ()
    alert: str = ""


def _import_of(visit: Visit) -> Import:
    entity = entity_of(visit)
    if entity.importing is None:
        raise no_such_page()
    options = query_fields_of(entity.importing.query, visit.entities, entity)
    return Import(entity, entity.importing, options)


async def show(visit: Visit) -> Response:
    return _page(visit, _import_of(visit), Outcome(), key=visit.new_key())


async def send(visit: Visit) -> Response:
    """Import a file, or check it. A form that is sent twice has one key, so it is imported once."""
    what = _import_of(visit)
    key = header_text(visit.form.get(KEY, "")) or visit.new_key()
    if visit.file is None:
        return _page(visit, what, Outcome(alert="Choose a file."), 422, key=key)
    file_format = _format_of(visit.file)
    if file_format is None:
        return _page(visit, what, Outcome(alert=WRONG_FORMAT), 422, key=key)
    answer = await visit.call(
        "POST",
        what.route.path,
        file=SentFile(visit.file.file, file_format.media_type),
        query={each.key: "true" for each in what.options if each.place in visit.form},
        headers={"idempotency-key": key},
    )
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise HTTPException(answer.status)
    if not answer.may_be_repeated:
        key = visit.new_key()  # what is sent next is another request
    return answer.passed_on_by(_page(visit, what, _outcome(answer), answer.status, key=key))


def _format_of(file: UploadFile) -> FileFormat | None:
    """A browser's own idea of the type comes second: with Excel, a CSV file is Excel's."""
    return FileFormat.of_name(file.filename) or FileFormat.of_content_type(file.content_type)


def _outcome(answer: Answer) -> Outcome:
    if not answer.is_refusal:
        report = ImportReport.model_validate(answer.content)
        return Outcome(report, report.problems)
    errors = [(each["field"], each["message"]) for each in answer.content.get("errors", ())]
    problems = [RowProblem.at(place, message) for place, message in errors if place.startswith("line ")]
    alert = answer.detail
    if problems:
        alert = alert.partition(f"{problems[0].place}: ")[0].strip()  # the mistakes that it goes on with have a table
    return Outcome(problems=problems, alert=alert)


def _page(visit: Visit, what: Import, outcome: Outcome, status: int = 200, *, key: str) -> Response:
    return visit.page(
        "import.html",
        status,
        what=what,
        entity=what.entity,
        outcome=outcome,
        chosen=visit.form,
        key=key,
        accepted=[name for each in FileFormat for name in (*each.endings, *each.media_types)],
        max_size=visit.settings.max_import_size,
        max_problems=MAX_PROBLEMS,
        columns=list(_columns(what.entity)),
        example=example_of(what.entity.name, FileFormat.CSV),
        is_exported=what.entity.name in exports(),
    )


def _columns(entity: Entity) -> Iterator[tuple[str, list[str]]]:
    """What a file may say, in groups: what the columns of each are for, and their names."""
    what = imports()[entity.name]
    columns = columns_of(what)
    needed = [name for name, field in what.create.model_fields.items() if field.is_required()]
    stock = [what.stock] if what.stock else []
    named = [*what.keys, *needed, *columns.new_only, *stock, *(each.field for each in what.references)]
    yield "Says which row it is" if len(what.keys) == 1 else "Say which row it is: one of", list(what.keys)
    yield "Needed for a new row", needed
    references = (f"{each} (slug or name)" for each in columns.references)
    yield "May be left out", [*(name for name in columns.writable if name not in named), *references]
    yield "Count for new rows only", columns.new_only
    yield "Counts for new rows, and for others with “Take over the stock”", stock
    yield "May stand in the file, but are not changed by it", [*columns.set_by_shop, *columns.fixed]


async def download(visit: Visit) -> Response:
    """All rows, as a file that can be imported again."""
    what = _import_of(visit)
    if what.entity.name not in exports():
        raise no_such_page()
    await visit.release()
    database, export = visit.request.app.state.database, exports()[what.entity.name]
    response = await export_file(visit.request, database, export, FileFormat.CSV)
    response.headers.update(HEADERS)
    return response
