"""Creating, editing and deleting rows, and doing what their actions do: one form for each, which the API answers."""

from functools import partial
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from api.admin.choices import find, offer, resolve
from api.admin.fields import Input
from api.admin.forms import Form, blank, filled, parts_of, typed
from api.admin.in_process import Answer, header_text
from api.admin.rows import Row, fetch_one
from api.admin.tasks import TASKS, Task, entity_of
from api.admin.visits import HEADERS, Visit, no_such_page
from api.admin.words import label_of
from api.web.dispatch import PREFETCH

EDITED_MEANWHILE = "Somebody else has changed this meanwhile. Compare, and save again to replace it by what you typed."
DONE_MEANWHILE = "This was done, or the row changed, since the page was opened. Press once more to do it all the same."
CHANGED_MEANWHILE = "Somebody else has changed this meanwhile. Look at it again before you delete it."


async def show(visit: Visit, kind: str) -> Response:
    """The page of a form, as it is opened."""
    task = await TASKS[kind](visit)
    form = blank(task.fields, {**task.begins_with, **visit.request.query_params})
    if (task.is_guarded or task.route.secrets) and task.row:
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
    if not await _is_as_shown(visit, task, form):
        form.alert = DONE_MEANWHILE
        return await visit.read(partial(_again, task=task, form=form, status=HTTPStatus.PRECONDITION_FAILED))
    sent = body | _fixed(task, "body") if task.route.body else None
    answer = await visit.call(task.route.method, task.api_path, body=sent, query=query, headers=_headers(task, form))
    if answer.is_refusal:
        return await _refused(visit, task, form, answer)
    if task.route.secrets:
        return await _shown_once(visit, task, answer)
    return visit.redirect(await _then(visit, task, answer))


async def _is_as_shown(visit: Visit, task: Task, form: Form) -> bool:
    """Whether a row is what it was when the form was opened, so that a page that is loaded again makes no new secret.

    The route of a secret takes neither a key nor a precondition.
    """
    if task.row is None or not task.route.secrets:
        return True
    shown, form.tag = form.tag, (await visit.read(partial(_opened, task=task, row=task.row))).tag
    return shown == form.tag


async def _shown_once(visit: Visit, task: Task, answer: Answer) -> Response:
    """The page with a secret that no page and no answer shows again: a redirect would need it to be kept."""
    secrets = {label_of(name): str(answer.content[name]) for name in task.route.secrets}
    return visit.page("secret.html", task=task, secrets=secrets, next=await _then(visit, task, answer))


def _fixed(task: Task, part: str) -> dict[str, str]:
    return {place.partition(".")[2]: value for place, value in task.fixed.items() if place.startswith(f"{part}.")}


def _headers(task: Task, form: Form) -> dict[str, str]:
    headers = {"idempotency-key": header_text(form.key)} if task.route.takes_key else {}
    if form.tag and task.is_guarded:
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
