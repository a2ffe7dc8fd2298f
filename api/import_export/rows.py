"""A row of a file while it is checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from api.import_export.imports import RowProblem


@dataclass
class Row:
    line: int
    values: dict[str, Any]
    problems: list[RowProblem] = field(default_factory=list)
    is_readable: bool = True
    key: tuple[str, Any] | None = None
    stored: Any = None
    later: dict[str, str] = field(default_factory=dict)
    data: BaseModel | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    keeps_stock: bool = False
    set_by_shop: Sequence[str] = ()
    new_only: Sequence[str] = ()
    """Columns that only count for a new row, and are left out of this one, which exists."""

    @property
    def is_changed(self) -> bool:
        return bool(self.changes or self.later)

    def refuse(self, name: str, message: str) -> None:
        if all(each.field != name for each in self.problems):  # the first mistake of a field explains the others
            self.problems.append(RowProblem(line=self.line, field=name, message=message))
