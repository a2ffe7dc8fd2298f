"""How long to wait after a failure: longer after each one that follows, and no two who wait come back together."""

import random

MOST_DOUBLINGS = 30
"""More than any longest wait needs. A night without a database would be too many for a float."""


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Seconds to wait, with full jitter, after "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

    Args:
        failures: How often it has failed in a row, this time included.
        first: Seconds at most after the first failure, doubled with each one that follows.
        longest: Seconds at most, however often it fails.
    """
    return random.uniform(0, min(longest, first * 2 ** min(failures - 1, MOST_DOUBLINGS)))  # noqa: S311
