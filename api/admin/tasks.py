"""What each form is for: a row to create, to edit or to delete, or an action to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.admin.actions import Action, actions_of
from api.admin.entities import Entity
from api.admin.fields import Field, fields_of
from api.admin.framework_internals import ApiRoute
from api.admin.rows import Row, fetch_one
from api.admin.visits import Visit, no_such_page
from api.errors import NotFound
from api.models.types import MAX_ID


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


def row_id_of(visit: Visit) -> int | None:
    """The id in the place of a page; `None` where it is none that a row can have."""
    row_id: str = visit.request.path_params["id"]
    return int(row_id) if re.fullmatch(r"[0-9]{1,19}", row_id) and int(row_id) <= MAX_ID else None


async def row_of(visit: Visit, entity: Entity) -> Row:
    if (row_id := row_id_of(visit)) is not None:
        found = await fetch_one(await visit.session(), visit.entities, entity, row_id, visit.staff)
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
