"""Walking through the document."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def operations(document: Json) -> list[Json]:
    """Every operation of every path."""
    return [operation for path in document["paths"].values() for operation in path.values()]


def reachable(document: Json, roots: list[Json]) -> set[str]:
    """The names of the schemas that these nodes refer to, directly or not."""
    found: set[str] = set()
    waiting: list[Any] = list(roots)
    while waiting:
        for node in nodes(waiting.pop()):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
    return found


def nodes(value: Any) -> Iterator[Json]:
    """Every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)
