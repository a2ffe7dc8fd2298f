"""Creating, editing and deleting rows, and doing what their actions do: one form for each, which the API answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from api.admin.actions import Action, actions_of
from api.admin.choices import find, offer, resolve
from api.admin.entities import Entity
from api.admin.fields import Field, Input, fields_of
from api.admin.forms import Form, blank, filled, parts_of, typed
from api.admin.framework_internals import ApiRoute
from api.admin.in_process import Answer, header_text
from api.admin.rows import Row, fetch_one
from api.admin.visits import HEADERS, Visit, no_such_page
from api.errors import NotFound
from api.models.types import MAX_ID
from api.web.dispatch import PREFETCH

EDITED_MEANWHILE = "Somebody else has changed this meanwhile. Compare, and save again to replace it by what you typed."
CHANGED_MEANWHILE = "Somebody else has changed this meanwhile. Look at it again before you delete it."


@dataclass(frozen=True)
class Task:
    """What a form is for."""

    entity: Entity
    route: ApiRoute
    title: str
    button: str
    fields: list[Field]
    place: str
    """The page of the form."""
    back: str
    row: Row | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    begins_with: Mapping[str, str] = field(default_factory=dict)
    asks: str = ""

    @property
    def edits(self) -> bool:
        return self.route is self.entity.update

    @property
    def is_guarded(self) -> bool:
        """Whether it is done to the row as it was shown, and not as somebody else has made it meanwhile."""
        return self.edits or self.route is self.entity.delete

    @property
    def api_path(self) -> str:
        return self.route.path_of(self.row.id) if self.row else self.route.path

    @property
    def is_grave(self) -> bool:
        return bool(self.asks)


def entity_of(visit: Visit) -> Entity:
    found = visit.entities.get(visit.request.path_params["entity"])
    if found is None:
        raise no_such_page()
    return found


async def row_of(visit: Visit, entity: Entity) -> Row:
    row_id: str = visit.request.path_params["id"]
    if re.fullmatch(r"[0-9]{1,19}", row_id) and int(row_id) <= MAX_ID:
        found = await fetch_one(await visit.session(), visit.entities, entity, int(row_id), visit.staff)
        if found is not None:
            return found
    raise NotFound(f"There is no such {entity.noun}.")


async def create_task(visit: Visit) -> Task:
    entity = entity_of(visit)
    if entity.create is None:
        raise no_such_page()
    fields = fields_of(entity.create.body, visit.entities, entity)
    place = f"/{entity.name}/new"
    return Task(entity, entity.create, f"New {entity.noun}", "Save", fields, place, f"/{entity.name}")


async def edit_task(visit: Visit) -> Task:
    entity = entity_of(visit)
    if entity.update is None:
        raise no_such_page()
    row = await row_of(visit, entity)
    fields = fields_of(entity.update.body, visit.entities, entity)
    place = f"{row.href}/edit"
    return Task(entity, entity.update, f"Edit {row.label}", "Save", fields, place, row.href, row)


async def delete_task(visit: Visit) -> Task:
    entity = entity_of(visit)
    if entity.delete is None:
        raise no_such_page()
    row = await row_of(visit, entity)
    place = f"{row.href}/delete"
    title, asks = f"Delete {row.label}", entity.delete.description
    return Task(entity, entity.delete, title, "Delete", [], place, row.href, row, asks=asks)


async def action_task(visit: Visit) -> Task:
    entity = entity_of(visit)
    name = visit.request.path_params["action"]
    action = next((each for each in actions_of(visit.entities, entity) if each.name == name), None)
    if action is None:
        raise no_such_page()
    row = await row_of(visit, entity)
    return Task(
        entity,
        action.route,
        f"{action.label}: {row.label}",
        action.label,
        action.fields,
        action_place(row, action),
        row.href,
        row,
        fixed=action.variant.fixed,
        begins_with=action.variant.begins_with(row.values),
        asks=action.variant.asks,
    )


def action_place(row: Row, action: Action) -> str:
    return f"{row.href}/do/{action.name}"


TASKS = {"create": create_task, "edit": edit_task, "delete": delete_task, "action": action_task}


async def show(visit: Visit, kind: str) -> Response:
    """The page of a form, as it is opened."""
    task = await TASKS[kind](visit)
    form = blank(task.fields, {**task.begins_with, **visit.request.query_params})
    if task.is_guarded and task.row:
        form = await _opened(visit, task, task.row)
    return await _page(visit, task, form)


async def _opened(visit: Visit, task: Task, row: Row) -> Form:
    """A form that shows the row as it is now; `tag` is the row's ETag, where the API has one."""
    read = task.entity.route("GET", "/{id}")
    if read is None:
        return filled(task.fields, row.values)
    await visit.release()
    answer = await visit.call("GET", read.path_of(row.id), headers=PREFETCH)
    if answer.status == HTTPStatus.NOT_FOUND:
        raise no_such_page()
    if answer.is_refusal:
        raise answer.error()
    form = filled(task.fields, answer.content)
    form.tag = answer.headers.get("etag", "")
    return form


async def _page(visit: Visit, task: Task, form: Form, status: int = 200) -> Response:
    await offer(await visit.session(), visit.entities, form, visit.staff)
    return visit.page("form.html", status, task=task, form=form, parts_of=parts_of)


async def send(visit: Visit, kind: str) -> Response:
    """A form that was sent: the API does what it says, or says why not."""

    async def prepare(visit: Visit) -> tuple[Task, Form]:
        task = await TASKS[kind](visit)
        form = typed(task.fields, visit.form)
        await resolve(await visit.session(), visit.entities, form, visit.staff)
        return task, form

    task, form = await visit.read(prepare)
    body, query = form.sent("body", only_changed=task.edits), {**form.sent("query"), **_fixed(task, "query")}
    if form.messages:
        return await visit.read(partial(_again, task=task, form=form, status=422))
    if task.edits and not body:
        return visit.redirect(task.back)
    sent = body | _fixed(task, "body") if task.route.body else None
    answer = await visit.call(task.route.method, task.api_path, body=sent, query=query, headers=_headers(task, form))
    if answer.is_refusal:
        return await _refused(visit, task, form, answer)
    return visit.redirect(await _then(visit, task, answer))


def _fixed(task: Task, part: str) -> dict[str, str]:
    return {place.partition(".")[2]: value for place, value in task.fixed.items() if place.startswith(f"{part}.")}


def _headers(task: Task, form: Form) -> dict[str, str]:
    headers = {"idempotency-key": header_text(form.key)} if task.route.takes_key else {}
    if form.tag:
        headers["if-match"] = header_text(form.tag)
    return headers


async def _refused(visit: Visit, task: Task, form: Form, answer: Answer) -> Response:
    form.refused(answer)

    async def show_again(visit: Visit) -> Response:
        if answer.status == HTTPStatus.PRECONDITION_FAILED and task.row:
            form.compare(await _opened(visit, task, task.row))
            form.alert = EDITED_MEANWHILE if task.edits else CHANGED_MEANWHILE
        return await _again(visit, task, form, answer.status)

    return answer.passed_on_by(await visit.read(show_again))


async def _again(visit: Visit, task: Task, form: Form, status: int) -> Response:
    for each in task.fields:
        if each.input is Input.PASSWORD:
            form.texts.pop(each.place, None)
    return await _page(visit, task, form, status)


async def _then(visit: Visit, task: Task, answer: Answer) -> str:
    """The page that comes after a form: that of the row, or the list where there is no row any more."""
    done, row = f"?done={task.route.name}", task.row
    if row is None:
        return f"/{task.entity.name}/{answer.content['id']}{done}"
    if task.route is not task.entity.delete:
        return f"{row.href}{done}"

    async def look(visit: Visit) -> Row | None:
        return await fetch_one(await visit.session(), visit.entities, task.entity, row.id, visit.staff)

    return f"{row.href if await visit.read(look) else '/' + task.entity.name}{done}"


async def suggest(visit: Visit) -> Response:
    """Rows that fit what was typed into a field, for the script of the page."""
    text = visit.request.query_params.get("search", "").strip()
    found = await find(await visit.session(), visit.entities, entity_of(visit), text, visit.staff) if text else []
    return JSONResponse([{"id": row_id, "label": label} for row_id, label in found], headers=HEADERS)
