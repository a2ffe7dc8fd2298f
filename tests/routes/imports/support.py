"""What several tests of /imports need."""

import json
from typing import Any

import httpx

CSV = {"Content-Type": "text/csv"}
JSONL = {"Content-Type": "application/jsonl"}


async def upload(client: httpx.AsyncClient, entity: str, text: str | bytes, **query: Any) -> httpx.Response:
    """Send a CSV file."""
    content = text.encode() if isinstance(text, str) else text
    return await client.post(f"/imports/{entity}", content=content, headers=CSV, params=query)


async def upload_lines(client: httpx.AsyncClient, entity: str, *rows: Any, **query: Any) -> httpx.Response:
    """Send a JSON Lines file; a row that is a text is sent as it is."""
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    return await client.post(f"/imports/{entity}", content=text.encode(), headers=JSONL, params=query)


def counts(response: httpx.Response) -> tuple[int, int, int, int]:
    """How many rows were added, changed, unchanged and bad."""
    report = response.json()
    return report["created"], report["updated"], report["unchanged"], report["bad"]


def mistakes(response: httpx.Response) -> dict[str, str]:
    """The mistakes that a refused import names, by their places."""
    return {each["field"]: each["message"] for each in response.json()["errors"]}
