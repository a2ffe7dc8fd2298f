"""/ and /health: what this is, and whether it is well."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import AsyncAdaptedQueuePool

from api import __version__
from api.auth import Staff
from api.database import database_of
from api.errors import problems
from api.transactions import TransactionRoute

router = APIRouter(tags=["health"], route_class=TransactionRoute)


class Welcome(BaseModel):
    name: str = Field(examples=["Shop"])
    version: str = Field(examples=[__version__])
    currency: str = Field(description="ISO 4217; every amount is in it.", examples=["EUR"])
    docs: str = Field(examples=["/docs"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class PoolHealth(BaseModel):
    """The connection pool of the worker that answers; the numbers are null where it keeps none."""

    database: str = Field(description="Which database.", examples=["postgresql"])
    size: int | None = Field(description="Connections that are kept open.", examples=[10])
    in_use: int | None = Field(examples=[3])
    available: int | None = Field(description="Open and idle.", examples=[7])
    overflow: int | None = Field(description="Open beyond the size.", examples=[0])


@router.get("/", summary="Welcome")
async def read_welcome(request: Request) -> Welcome:
    """Say what this is and where its documentation stands."""
    settings = request.app.state.settings
    docs = f"{request.scope.get('root_path', '')}/docs"
    return Welcome(name=settings.shop_name, version=__version__, currency=settings.currency, docs=docs)


@router.get("/health")
async def read_health() -> Health:
    """Say that the process is alive; asks nothing of the database."""
    return Health()


@router.get("/health/ready", responses=problems(503))
async def read_readiness(request: Request) -> Health:
    """Ask the database; 503 where it does not answer."""
    database = database_of(request)
    await database.ping()
    return Health()


@router.get("/health/db")
async def read_pool_health(request: Request, staff: Staff) -> PoolHealth:
    """Tell how the connection pool is doing."""
    database = database_of(request)
    name, pool = database.engine.dialect.name, database.engine.pool
    if not isinstance(pool, AsyncAdaptedQueuePool):
        return PoolHealth(database=name, size=None, in_use=None, available=None, overflow=None)
    return PoolHealth(
        database=name,
        size=pool.size(),
        in_use=pool.checkedout(),
        available=pool.checkedin(),
        overflow=max(0, pool.overflow()),
    )
