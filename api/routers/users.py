"""/users: register, and keep one's own row. Staff keep all of them."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import AfterValidator
from sqlalchemy import ColumnElement, case, func
from sqlalchemy.orm import load_only, selectinload
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import CurrentUser, OptionalUser, Staff, client_address, current_user, hash_password
from api.database import ReadSession, WriteSession, database_of
from api.errors import Conflict, Forbidden, NotFound, problems
from api.loading import PathId, PathText, one_or_404, only
from api.models import (
    ActiveCount,
    AttemptKind,
    Order,
    OrderStatus,
    Post,
    PostSummary,
    ProfileUpdate,
    TopSpender,
    User,
    UserBase,
    UserCreate,
    UserRead,
    UserReadWithPosts,
    UsersChanged,
    UserSummary,
    UserUpdate,
)
from api.models.base import utcnow
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import throttle
from api.rules import users as rules
from api.search import SearchText, contains
from api.transactions import TransactionRoute

router = APIRouter(prefix="/users", tags=["users"], route_class=TransactionRoute)

here = col(User.erased_at).is_(None)
"""Users who were erased while orders or money keep their row are gone for everybody."""

as_read = load_only(*only(User, UserRead), raiseload=True)


async def _user_id(user_id: PathId, caller: CurrentUser) -> int:
    if not caller.may_act_for(user_id):
        raise NotFound("There is no such user.")
    return user_id


VisibleUserId = Annotated[int, Depends(_user_id)]


async def _user(user_id: VisibleUserId, session: ReadSession) -> User:
    return await one_or_404(session, User, User.id == user_id, here, options=[as_read])


async def _user_to_write(user_id: VisibleUserId, session: WriteSession) -> User:
    user = await one_or_404(session, User, User.id == user_id, here)
    await rules.lock(session, user)
    return user


async def _me_to_write(caller: CurrentUser, session: WriteSession) -> User:
    return await _user_to_write(caller.id, session)


UserDep = Annotated[User, Depends(_user)]
UserToWrite = Annotated[User, Depends(_user_to_write)]
MeToWrite = Annotated[User, Depends(_me_to_write)]


async def _throttled(request: Request, user: OptionalUser) -> None:
    """Who asks often whether a name or an e-mail address is taken has to wait; staff, who see all users, do not."""
    if user is None or not user.is_superuser:
        subject = throttle.address_of(client_address(request)) if user is None else f"id {user.id}"
        async with database_of(request).transaction() as session:
            await throttle.spend(session, {AttemptKind.REGISTRATION: subject}, request.app.state.settings)


async def _switched_by_staff(data: UserUpdate, user_id: VisibleUserId, caller: CurrentUser) -> None:
    if data.needs_staff and not caller.is_superuser:
        raise Forbidden("Only staff may set is_active and is_superuser.")


Throttled = Depends(_throttled)
"""Comes after what says whether the caller may at all: a request that is refused for that counts as no attempt."""


@router.post("", status_code=201, response_model=UserRead, responses=problems(409, 429), dependencies=[Throttled])
async def register(data: UserCreate, session: WriteSession) -> User:
    """Register as a customer."""
    user = User.model_validate(data, update={"hashed_password": await hash_password(data.password)})
    session.add(user)
    await session.flush()
    return user


@router.post("/bulk", status_code=201, response_model=list[UserRead], responses=problems(409))
async def create_users(
    data: Annotated[list[UserCreate], Body(min_length=1, max_length=100)], session: WriteSession, staff: Staff
) -> list[User]:
    """Register up to 100 customers: all of them or, where one cannot be, none."""
    hashes = await asyncio.gather(*(hash_password(each.password) for each in data))
    await _refuse_taken(session, data)
    users = [
        User.model_validate(each, update={"hashed_password": hashed}) for each, hashed in zip(data, hashes, strict=True)
    ]
    session.add_all(users)
    await session.flush()
    return users


async def _refuse_taken(session: AsyncSession, data: list[UserCreate]) -> None:
    """Say which of many is taken; the unique constraints would only say that one is."""
    taken = select(User.username, User.email).where(
        or_(
            col(User.username).in_([each.username for each in data]), col(User.email).in_([each.email for each in data])
        )
    )
    seen = {value for row in await session.exec(taken) for value in row}
    for index, each in enumerate(data):
        for field in ("username", "email"):
            if getattr(each, field) in seen:
                raise Conflict(f"body.{index}.{field} is already taken")
        seen |= {each.username, each.email}


def _named(text: str) -> ColumnElement[bool]:
    return contains(text, User.username, User.email, User.full_name)


@router.get("", response_model=Page[UserRead] | CursorPage[UserRead])
async def list_users(
    session: ReadSession,
    staff: Staff,
    paging: PagingParams,
    is_active: Annotated[bool | None, Query(description="Only active, or only inactive users.")] = None,
    search: SearchText | None = None,
) -> Page[User] | CursorPage[User]:
    """List users, the newest first."""
    users = select(User).where(here).options(as_read)
    if is_active is not None:
        users = users.where(User.is_active == is_active)
    if search is not None:
        users = users.where(_named(search))
    return await paginate(session, users, paging, model=User)


@router.get("/search", response_model=Page[UserRead] | CursorPage[UserRead])
async def search_users(
    session: ReadSession, staff: Staff, paging: PagingParams, q: SearchText
) -> Page[User] | CursorPage[User]:
    """Find users by a part of their username, e-mail address or full name."""
    users = select(User).options(as_read).where(here, _named(q))
    return await paginate(session, users, paging, model=User)


@router.get("/me", response_model=UserRead, summary="Read oneself")
async def read_me(user: CurrentUser) -> User:
    """Read one's own row."""
    return user


@router.patch(
    "/me",
    response_model=UserRead,
    summary="Update oneself",
    responses=problems(404, 409, 429),
    dependencies=[Depends(current_user), Throttled],
)
async def update_me(data: ProfileUpdate, user: MeToWrite, session: WriteSession) -> User:
    """Change only what is sent of one's own row."""
    user.sqlmodel_update(data.model_dump(exclude_unset=True))
    await session.flush()
    return user


@router.get("/by-email/{email}", response_model=UserRead, responses=problems(404))
async def read_user_by_email(
    email: Annotated[PathText, AfterValidator(str.lower)], session: ReadSession, staff: Staff
) -> User:
    """Read the user with an e-mail address, whatever its case."""
    return await one_or_404(session, User, User.email == email, here, options=[as_read])


@router.get("/stats/active-count")
async def count_active_users(session: ReadSession, staff: Staff) -> ActiveCount:
    """Count users, and how many of them are active."""
    active = func.coalesce(func.sum(case((col(User.is_active), 1), else_=0)), 0)
    total, count = (await session.exec(select(func.count(), active).select_from(User).where(here))).one()
    return ActiveCount(total=total, active=count, inactive=total - count)


@router.get("/stats/top-spenders")
async def list_top_spenders(
    session: ReadSession,
    staff: Staff,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 10,
) -> list[TopSpender]:
    """List who ordered for the most, cancelled orders left out."""
    spent = func.sum(Order.total_amount)
    statement = (
        select(User.id, User.username, func.count(), spent)
        .join(Order, col(Order.user_id) == col(User.id))
        .where(Order.status != OrderStatus.CANCELLED, here)
        .group_by(col(User.id), col(User.username))
        .order_by(spent.desc(), col(User.id))
        .limit(limit)
    )
    return [
        TopSpender(user=UserSummary(id=user_id, username=username), orders=orders, spent=amount)
        for user_id, username, orders, amount in await session.exec(statement)
    ]


@router.patch("/bulk/deactivate")
async def deactivate_idle_users(
    session: WriteSession,
    staff: Staff,
    days: Annotated[int, Query(ge=1, le=36_500, description="How long they have not signed in.")],
) -> UsersChanged:
    """Deactivate customers who have not signed in for so many days; staff are left alone."""
    return UsersChanged(changed=await rules.deactivate_idle(session, utcnow() - timedelta(days=days)))


@router.delete("/bulk/inactive")
async def erase_inactive_users(session: WriteSession, staff: Staff) -> UsersChanged:
    """Erase all inactive customers: the person is forgotten, orders and money stay in the books."""
    return UsersChanged(changed=await rules.erase_inactive(session))


@router.get("/{id}", response_model=UserRead, responses=problems(404))
async def read_user(user: UserDep) -> User:
    """Read a user: oneself, or anybody as staff."""
    return user


@router.get("/{id}/with-posts", response_model=UserReadWithPosts, responses=problems(404))
async def read_user_with_posts(user_id: VisibleUserId, session: ReadSession) -> User:
    """Read a user with all posts, drafts too."""
    summaries = selectinload(User.posts).load_only(*only(Post, PostSummary), raiseload=True)  # type: ignore[arg-type]
    posts = summaries.selectinload(Post.tags)  # type: ignore[arg-type]
    return await one_or_404(session, User, User.id == user_id, here, options=[as_read, posts])


@router.put(
    "/{id}",
    response_model=UserRead,
    responses=problems(404, 409, 429),
    dependencies=[Depends(_user_id), Throttled],
)
async def replace_user(data: UserBase, user: UserToWrite, session: WriteSession) -> User:
    """Replace all that users can write of themselves: what is absent is cleared."""
    user.sqlmodel_update(data)
    await session.flush()
    return user


@router.patch(
    "/{id}",
    response_model=UserRead,
    responses=problems(403, 404, 409, 429),
    dependencies=[Depends(_switched_by_staff), Throttled],
)
async def update_user(data: UserUpdate, user: UserToWrite, session: WriteSession) -> User:
    """Change only what is sent. Only staff may set `is_active` and `is_superuser`."""
    await rules.change(session, user, data)
    return user


@router.delete("/{id}", status_code=204, responses=problems(404, 409))
async def delete_user(user: UserToWrite, session: WriteSession) -> None:
    """Erase a user: the person is forgotten, orders and money stay in the books."""
    await rules.erase(session, user)


@router.delete("/{id}/soft", response_model=UserRead, responses=problems(404, 409))
async def deactivate_user(user: UserToWrite, session: WriteSession) -> User:
    """Deactivate a user, who is signed out everywhere and can sign in no more; staff can undo it."""
    await rules.deactivate(session, user)
    return user
