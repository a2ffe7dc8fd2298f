"""What every problem of the app must look like."""

import httpx

from api.web.problems import PROBLEM_JSON


def assert_problem(response: httpx.Response, status: int, title: str) -> None:
    """Check that an answer is a problem with this status and title, in the media type of problems."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM_JSON)
    problem = response.json()
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", title, status)
