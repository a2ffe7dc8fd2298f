"""The path of a request as the routes have it."""

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """Without the prefix that a proxy took off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def without_trailing_slash(scope: Scope) -> str:
    path = str(scope["path"])
    if not path.endswith("/"):
        return path
    bare = path.rstrip("/")
    return f"{bare}/" if bare == scope.get("root_path", "").rstrip("/") else bare
