"""Links from the id in an answer to the operations that take it."""

from api.openapi.nodes import Json


def add_links(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        among = f"/{path.rpartition('/')[2]}/{{id}}"
        targets = [
            operation["operationId"]
            for other, operations in document["paths"].items()
            if f"{other}/".startswith(f"{among}/")
            for operation in operations.values()
        ]
        for operation in item.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                where = _place_of_id(content["schema"], schemas) if content and status < "300" else None
                if where and targets:
                    linked = {"parameters": {"id": f"$response.body#{where}"}}
                    response["links"] = {name: {"operationId": name, **linked} for name in targets}


def _place_of_id(schema: Json, schemas: Json) -> str | None:
    """The place of an id in an answer of this shape, as a JSON pointer."""
    choices = [schemas[each["$ref"].rpartition("/")[2]] for each in schema.get("anyOf", [schema]) if "$ref" in each]
    fields = {name for choice in choices for name in choice.get("properties", {})}
    return "/id" if "id" in fields else "/items/0/id" if "items" in fields else None
