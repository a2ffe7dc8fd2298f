"""Staging: rows wait on disk, and come back in parts, however many there are and however long they are."""

import pickle
from collections.abc import Iterator

import pytest

from api.import_export.imports import imports
from api.import_export.lost_references import drop_lost_references
from api.import_export.staging import Staged, Staging
from api.rules.unique_values import Key


@pytest.fixture
def staging() -> Iterator[Staging]:
    with Staging() as staging:
        yield staging


def test_rows_come_in_parts_new_ones_by_line_and_changed_ones_by_id(staging: Staging) -> None:
    staging.add([Staged(line, None, {"slug": "x" if line % 2 else None}) for line in range(9)])
    staging.add([Staged(line, 100 - line, {}) for line in range(10, 15)])

    assert [[each.line for each in part] for part in staging.new(3)] == [[1, 3, 5], [7], [0, 2, 4], [6, 8]]
    assert [[each.row_id for each in part] for part in staging.changed(3)] == [[86, 87, 88], [89, 90]]
    assert staging.count == 14


def test_a_part_of_long_rows_ends_before_it_takes_much_memory(staging: Staging) -> None:
    staging.add([Staged(line, None, {"name": "x" * 300_000}) for line in range(10)])

    assert [len(part) for part in staging.new(200)] == [4, 4, 2]


@pytest.mark.parametrize("method", ["new", "changed"])
def test_no_part_sorts_all_rows_again(staging: Staging, method: str) -> None:
    staging.add([Staged(line, line if method == "changed" else None, {}) for line in range(10)])
    statements: list[str] = []
    staging._database.set_trace_callback(statements.append)

    list(getattr(staging, method)(3))

    staging._database.set_trace_callback(None)
    for statement in set(statements):
        plan = [row[3] for row in staging._database.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert plan == [each for each in plan if each.startswith("SEARCH staged USING INDEX")], statement


async def test_rows_that_refer_to_no_other_row_are_not_read_to_find_lost_references(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.add([Staged(line, None, {"name": "x"}) for line in range(1_000)])
    staging.add([Staged(1_000, None, {"name": "y"}, {"parent_id": "nowhere"})])
    read: list[bytes] = []
    really_load = pickle.loads

    def loads(content: bytes) -> object:
        read.append(content)
        return really_load(content)

    monkeypatch.setattr(pickle, "loads", loads)
    lost = [problem.line async for _, problem in drop_lost_references(imports()["categories"], staging)]

    assert (lost, len(read)) == ([1_000], 1)


def test_a_row_that_is_dropped_leaves_its_values_to_others(staging: Staging) -> None:
    staging.add([Staged(1, None, {"slug": "a"})])
    staging.claim(1, [Key(("slug",), ("a",)), Key(("name",), ("A",))])

    staged, values = staging.drop(1)

    assert staged.line == 1
    assert values == [repr(("A",)), repr(("a",))]
    assert not staging.has_slug("a")
    assert (staging.count, list(staging.new(10))) == (0, [])
