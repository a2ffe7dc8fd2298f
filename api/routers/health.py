"""Whether the shop is up, and what it runs on."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field

from api import __version__
from api.auth.callers import Staff
from api.errors import Unavailable
from api.web.app_state import AppDatabase, AppSettings
from api.web.problems import problems
from api.web.routing import Router

router = Router("", tag="health")


class Welcome(BaseModel):
    name: str = Field(examples=["Shop"])
    version: str = Field(examples=[__version__])
    currency: str = Field(description="ISO 4217; every amount is in it.", examples=["EUR"])
    docs: str = Field(examples=["/docs"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class PoolHealth(BaseModel):
    """The connection pool of the worker that answers; the numbers are null where no connections are kept."""

    database: str = Field(description="The kind of database.", examples=["postgresql"])
    size: int | None = Field(description="Connections that are kept open.", examples=[10])
    in_use: int | None = Field(examples=[3])
    available: int | None = Field(description="Open and idle.", examples=[7])
    overflow: int | None = Field(description="Open beyond the size.", examples=[0])


@router.get("/", summary="Welcome")
async def read_welcome(request: Request, settings: AppSettings) -> Welcome:
    """Say what this is and where its documentation is."""
    docs = f"{request.scope.get('root_path', '')}/docs"
    return Welcome(name=settings.shop_name, version=__version__, currency=settings.currency, docs=docs)


@router.get("/health")
async def read_health() -> Health:
    """Say that the process is alive, without asking the database."""
    return Health()


@router.get("/health/ready", responses=problems(503))
async def read_readiness(database: AppDatabase) -> Health:
    """Check that the database answers and has the tables of this release; if not, the status is 503."""
    if difference := await database.schema_difference():
        raise Unavailable(difference)
    return Health()


@router.get("/health/db")
async def read_pool_health(database: AppDatabase, staff: Staff) -> PoolHealth:
    """Read the state of the connection pool."""
    pool = database.pool
    if pool is None:
        return PoolHealth(database=database.backend, size=None, in_use=None, available=None, overflow=None)
    return PoolHealth(
        database=database.backend,
        size=pool.size(),
        in_use=pool.checkedout(),
        available=pool.checkedin(),
        overflow=max(0, pool.overflow()),
    )
