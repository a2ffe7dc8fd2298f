"""A wait doubles with each failure up to its longest, and is drawn from all that is shorter."""

import pytest

from api.backoff import backoff


@pytest.mark.parametrize(("failures", "most"), [(1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (50, 60.0), (10_000, 60.0)])
def test_waits_are_spread_over_all_that_is_shorter_than_the_longest(failures: int, most: float) -> None:
    waits = [backoff(failures, first=2.0, longest=60.0) for _ in range(2_000)]
    assert 0 <= min(waits) < most * 0.1
    assert most * 0.9 < max(waits) <= most
