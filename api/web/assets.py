"""Files that pages need, served by the shop itself under a path that changes with their content."""

import hashlib
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class Assets(StaticFiles):
    """Files whose path changes with their content, so that a browser fetches them once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def digest_of(folder: Path) -> str:
    """What stands in the path of a folder's files."""
    contents = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        contents.update(file.read_bytes())
    return contents.hexdigest()[:12]
