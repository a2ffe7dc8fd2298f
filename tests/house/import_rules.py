"""Which module of api/ may import which, and what it may take from a framework, read from its source.

The order is `__main__ → commands → main → routers → web, auth, openapi → rules, reads → database, models → errors,
telemetry, settings, backoff`. An import may go to the same layer or to a lower one, never up, wherever it stands:
also in a function. Telemetry stands at the bottom, because every room has something counted or logged.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

LAYERS = (
    ("__main__",),
    ("commands",),
    ("main",),
    ("routers", "admin", "import_export", "worker", "mail", "demo"),
    ("web", "auth", "openapi"),
    ("rules", "reads"),
    ("database", "models"),
    ("errors", "telemetry", "settings", "mail_settings", "database_url", "currencies", "backoff"),
)
"""From top to bottom, the rooms and modules of each layer."""

LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}

ONLY_FOR_TYPES = {"models"}
"""Rooms whose modules import each other under `if TYPE_CHECKING:`, because relationships refer to each other."""

DOCUMENTED = {"_mapping": "a row of SQLAlchemy, whose public names have an underscore because columns have none"}
"""Attributes with an underscore that are public all the same, each with the reason."""


class Import(NamedTuple):
    importer: str
    """The module that imports, such as `api.rules.stock`."""
    imported: str
    line: int
    only_for_types: bool

    def __str__(self) -> str:
        return f"{file_of(self.importer)}:{self.line} imports {self.imported}"


def file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def room_of(module: str) -> str:
    """`rules` of `api.rules.stock`; `api` itself, which has nothing but its version, is in no room."""
    return module.split(".")[1] if "." in module else ""


def modules(folder: str) -> dict[str, str]:
    """The source of each module of a folder of the project, by the name of the module."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return {_name(file.relative_to(ROOT)): file.read_text() for file in files}


def _name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(sources: Mapping[str, str], package: str = "api") -> list[Import]:
    """What the modules import of their own package, in functions and by `import_module("...")` too."""
    return [
        Import(name, imported, line, only_for_types)
        for name, source in sources.items()
        for imported, line, only_for_types in _of_module(name, source, set(sources))
        if imported.partition(".")[0] == package and imported != name
    ]


def _of_module(name: str, source: str, known: set[str]) -> Iterator[tuple[str, int, bool]]:
    tree = ast.parse(source)
    for_types = {id(node) for block in ast.walk(tree) if _is_type_checking(block) for node in _inside(block)}
    for node in ast.walk(tree):
        for imported in _imported(node, name, known):
            yield imported, getattr(node, "lineno", 0), id(node) in for_types


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _inside(block: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run under a condition, without those of its `else`."""
    for statement in block.body if isinstance(block, ast.If) else []:
        yield from ast.walk(statement)


def _imported(node: ast.AST, name: str, known: set[str]) -> list[str]:
    """The modules that one node imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            package = _parent(name, level, known) if level else ""
            origin = ".".join(filter(None, (package, module)))
            # `from api.rules import stock` imports a module, `from api.rules.stock import withdraw` a name of one.
            found = [f"{origin}.{alias.name}" for alias in names]
            return [each if each in known else origin for each in found]
        case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(module)), *_]):
            return [module]
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
            return [module]
    return []


def _parent(name: str, level: int, known: set[str]) -> str:
    """The package that a relative import with `level` dots starts from."""
    is_package = any(each.startswith(f"{name}.") for each in known)
    parts = name.split(".")
    return ".".join(parts[: len(parts) - level + is_package])


def upward(found: Iterable[Import]) -> list[str]:
    """What imports a layer above its own, or belongs to no layer."""
    wrong = []
    for each in found:
        importer, imported = room_of(each.importer), room_of(each.imported)
        if not importer or not imported:
            continue
        unknown = {importer, imported} - LAYER_OF.keys()
        if unknown:
            wrong.append(f"{each}: give {', '.join(sorted(unknown))} a layer in LAYERS of tests/house/import_rules.py")
        elif LAYER_OF[imported] < LAYER_OF[importer]:
            wrong.append(f"{each}: {importer} stands below {imported}, so move what is needed down, or pass it in")
    return wrong


def imports_for_types_elsewhere(found: Iterable[Import]) -> list[str]:
    """Imports under `if TYPE_CHECKING:` other than between the modules of one room that needs them."""
    return [
        f"{each} under TYPE_CHECKING: import it at the top, as nothing but relationships may go round in a circle"
        for each in found
        if each.only_for_types
        and (room_of(each.importer) != room_of(each.imported) or room_of(each.importer) not in ONLY_FOR_TYPES)
    ]


def circles(found: Iterable[Import], *, of_rooms: bool) -> list[str]:
    """The groups of modules, or of rooms, that import each other; `TYPE_CHECKING` does not count."""
    arrows: dict[str, set[str]] = {}
    for each in found:
        if not each.only_for_types:
            ends = [room_of(end) if of_rooms else end for end in (each.importer, each.imported)]
            if all(ends) and ends[0] != ends[1]:
                arrows.setdefault(ends[0], set()).add(ends[1])
    reached = {start: _reachable(start, arrows) for start in arrows}
    together = {
        tuple(sorted({start} | {end for end in reached[start] if start in reached.get(end, ())}))
        for start in arrows
        if start in reached[start]
    }
    return [" ⇄ ".join(group) for group in sorted(together)]


def _reachable(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = [*arrows.get(start, ())]
    while ahead:
        place = ahead.pop()
        if place not in seen:
            seen.add(place)
            ahead += arrows.get(place, ())
    return seen


def private_names(source: str) -> list[str]:
    """What a source takes from another object or module although its name says that it is private."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if _is_private(name) and name not in DOCUMENTED:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            case ast.ImportFrom(module=module, names=names):
                taken = [*(module or "").split("."), *(alias.name for alias in names)]
                found += [f"line {node.lineno}: {ast.unparse(node)}" for name in taken if _is_private(name)]
            case ast.Import(names=names):
                taken = [part for alias in names for part in alias.name.split(".")]
                found += [f"line {node.lineno}: {ast.unparse(node)}" for name in taken if _is_private(name)]
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
