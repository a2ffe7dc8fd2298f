"""What was asked of the shop under which key, and everything that it answered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACKNOWLEDGED = {200, 201}


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    replayed: bool
    retry_after: str | None
    seconds: float

    @property
    def is_definitive(self) -> bool:
        """Nothing that is sent again will be answered otherwise. "In progress" is a 409 with Retry-After."""
        return self.status < 500 and self.retry_after is None

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


@dataclass
class Operation:
    """One thing that somebody wanted done once, however often it was sent."""

    kind: str
    user_id: int
    path: str
    body: dict[str, Any]
    key: str | None
    answers: list[Answer] = field(default_factory=list)
    sent: int = 0

    @property
    def outcome(self) -> Answer | None:
        return next((answer for answer in self.answers if answer.is_definitive), None)

    @property
    def is_acknowledged(self) -> bool:
        return self.outcome is not None and self.outcome.status in ACKNOWLEDGED


class Journal:
    """Of all clients together."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def open(self, operation: Operation) -> Operation:
        self.operations.append(operation)
        return operation

    @property
    def answers(self) -> list[Answer]:
        return [answer for operation in self.operations for answer in operation.answers]

    @property
    def unanswered(self) -> list[Operation]:
        return [operation for operation in self.operations if operation.outcome is None]

    def acknowledged(self, kind: str) -> dict[int, Operation]:
        """By the id of the row that the answer tells of."""
        return dict(self._acknowledged(kind))

    def _acknowledged(self, kind: str) -> Iterator[tuple[int, Operation]]:
        for operation in self.operations:
            if operation.kind == kind and operation.is_acknowledged and operation.outcome is not None:
                yield operation.outcome.json()["id"], operation

    def write(self, file: Path) -> None:
        """For whoever has to find out what went wrong."""
        with file.open("w") as lines:
            for each in self.operations:
                answers = [(answer.status, answer.body.decode(), answer.replayed) for answer in each.answers]
                request = {"kind": each.kind, "user": each.user_id, "path": each.path, "body": each.body}
                lines.write(json.dumps({**request, "key": each.key, "sent": each.sent, "answers": answers}) + "\n")
