"""Customers and staff. Anyone may register; users see themselves, staff see everyone."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import Body, Depends, Query
from pydantic import AfterValidator, Field
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import case, col, func, select

from api.auth.callers import CurrentUser, OwnProfile, Staff, current_user
from api.auth.profiles import ChangeProfile
from api.auth.registration import REGISTERING, Registered, Registering, Throttled, ThrottledMails, new_user
from api.errors import Forbidden, NotFound
from api.models.base import utcnow
from api.models.post import Post, PostSummary, UserReadWithPosts
from api.models.reports import ActiveCount, TopSpender, UsersChanged
from api.models.user import ProfileUpdate, User, UserBase, UserCreate, UserRead, UserUpdate
from api.reads.pages import read_page
from api.reads.rows import Read, RowAsJSON, read_one
from api.rules import erasure, user_access
from api.rules.events import record_registrations
from api.rules.revenue import top_spenders
from api.rules.unique_values import flush_unique
from api.web.key_rules import may_lock_caller
from api.web.loading import PathId, PathText, columns_of, load_many, one_or_404
from api.web.pagination import CursorPage, Page, Paging, SearchableList
from api.web.problems import problems
from api.web.routing import Router
from api.web.search import SearchText
from api.web.sessions import ReadSession, WriteSession

router = Router("/users", tag="users")

MAX_BULK_USERS = 100
"""Hashing a password takes about 20 ms of a core, so a hundred of them take a second on two cores."""

MAX_TOP_SPENDERS = 100
"""Users of one answer, which is not paged."""

MAX_POSTS = 100
"""Posts that stand in the answer of their author, as many as on the longest page."""

MAX_DAYS = 36_500
"""A hundred years: a date that every database can hold."""


class UserList(SearchableList):
    is_active: bool | None = Field(default=None, description="`true`: only active; `false`: only inactive.")


class UserSearch(Paging):
    q: SearchText


async def _visible_user_id(user_id: PathId, user: CurrentUser) -> int:
    if not user.may_act_for(user_id):
        raise NotFound("There is no such user.")
    return user_id


VisibleUserId = Annotated[int, Depends(_visible_user_id)]


@may_lock_caller
async def _user_to_write(user_id: VisibleUserId, session: WriteSession) -> User:
    user = await one_or_404(session, User, User.id == user_id, User.not_erased())
    await user_access.lock(session, user)
    return user


@may_lock_caller
async def _caller_to_write(user: CurrentUser, session: WriteSession) -> User:
    return await _user_to_write(user.id, session)


UserToWrite = Annotated[User, Depends(_user_to_write)]
CallerToWrite = Annotated[User, Depends(_caller_to_write)]


async def _refuse_staff_fields(data: UserUpdate, user_id: VisibleUserId, user: CurrentUser) -> None:
    if data.needs_staff and not user.is_superuser:
        raise Forbidden("Only staff may set is_active and is_superuser.")


@router.post(
    "", status_code=201, response_model=UserRead, responses=REGISTERING, dependencies=[Throttled, ThrottledMails]
)
async def register(data: UserCreate, register: Registering) -> Registered:
    """Register as a customer. A shop that confirms registrations by mail answers with 202, and the same to everybody.

    Then the link in the mail makes the customer, or the mail says that the address has an account. Staff get a 201.
    """
    return await register(data)


@router.post("/bulk", status_code=201, response_model=list[UserRead], responses=problems(409))
async def create_many_users(
    data: Annotated[list[UserCreate], Body(min_length=1, max_length=MAX_BULK_USERS)],
    session: WriteSession,
    staff: Staff,
) -> list[User]:
    """Register up to 100 customers. If one cannot be registered, none is."""
    users = await asyncio.gather(*(new_user(each) for each in data))
    await flush_unique(session, users, data, in_list=True)
    record_registrations(session, users)
    return users


@router.get("", response_model=Page[UserRead] | CursorPage[UserRead])
async def list_users(staff: Staff, query: Annotated[UserList, Query()]) -> Read:
    """List users, the newest first."""
    users = select(User).where(User.not_erased())
    if query.is_active is not None:
        users = users.where(User.is_active == query.is_active)
    if query.search is not None:
        users = users.where(User.matches(query.search))
    return read_page(users, query)


@router.get("/search", response_model=Page[UserRead] | CursorPage[UserRead])
async def search_users(staff: Staff, query: Annotated[UserSearch, Query()]) -> Read:
    """Find users by a part of their username, e-mail address or full name."""
    return read_page(select(User).where(User.not_erased(), User.matches(query.q)), query)


@router.get("/me", response_model=UserRead, summary="Read the current user")
async def read_me(profile: OwnProfile) -> RowAsJSON:
    """Read the user who sends the request."""
    return profile


@router.patch(
    "/me",
    response_model=UserRead,
    summary="Update the current user",
    responses=problems(404, 409, 429),
    dependencies=[Depends(current_user), Throttled],
)
async def update_me(data: ProfileUpdate, user: CallerToWrite, session: WriteSession, change: ChangeProfile) -> User:
    """Change only the fields that are sent. Where the shop sends mail, `POST /auth/email` changes the address."""
    await change(session, user, data)
    return user


@router.get("/by-email/{email:path}", response_model=UserRead, responses=problems(404))
async def read_user_by_email(email: Annotated[PathText, AfterValidator(str.lower)], staff: Staff) -> Read:
    """Read a user by e-mail address, without regard to case. An address may hold a slash."""
    return read_one(select(User).where(User.email == email, User.not_erased()))


@router.get("/stats/active-count")
async def count_active_users(session: ReadSession, staff: Staff) -> ActiveCount:
    """Count users, and how many of them are active."""
    active = func.coalesce(func.sum(case((col(User.is_active), 1), else_=0)), 0)
    total, count = (await session.exec(select(func.count(), active).select_from(User).where(User.not_erased()))).one()
    return ActiveCount(total=total, active=count, inactive=total - count)


@router.get("/stats/top-spenders")
async def list_top_spenders(
    session: ReadSession,
    staff: Staff,
    limit: Annotated[int, Query(ge=1, le=MAX_TOP_SPENDERS, description="Maximum number of users.")] = 10,
) -> list[TopSpender]:
    """List the users who spent the most. Cancelled orders do not count, nor does what was refunded."""
    return await top_spenders(session, limit)


@router.patch("/bulk/deactivate")
async def deactivate_idle_users(
    session: WriteSession,
    staff: Staff,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="Days without activity.")],
) -> UsersChanged:
    """Deactivate customers who have been idle for the given number of days. Staff stay active.

    Idle customers have not signed in, used a session or an API key, ordered, paid or sent store credit, cancelled an
    order, or written a post since then, nor registered. Up to 1,000 are deactivated at a time: repeat the request, with
    another `Idempotency-Key`, until `changed` is 0.
    """
    return UsersChanged(changed=await user_access.deactivate_idle(session, utcnow() - timedelta(days=days)))


@router.delete("/bulk/inactive")
async def erase_inactive_users(session: WriteSession, staff: Staff) -> UsersChanged:
    """Erase inactive customers: personal data is deleted, orders and transactions are kept.

    Up to 1,000 are erased at a time: repeat the request, with another `Idempotency-Key`, until `changed` is 0. Inactive
    are those whose `is_active` is false, however short ago that was. They cannot sign in or use a key.
    """
    return UsersChanged(changed=await erasure.erase_inactive(session))


@router.get("/{id}", response_model=UserRead, responses=problems(404))
async def read_user(user_id: VisibleUserId) -> Read:
    """Read a user: the current user, or any user for staff."""
    return read_one(select(User).where(User.id == user_id, User.not_erased()))


@router.get("/{id}/with-posts", response_model=UserReadWithPosts, responses=problems(404))
async def read_user_with_posts(user_id: VisibleUserId, session: ReadSession) -> User:
    """Read a user with the 100 newest posts, drafts too. `GET /posts?author_id=` lists all of them."""
    without_hash = [columns_of(User, UserRead)]
    user = await one_or_404(session, User, User.id == user_id, User.not_erased(), options=without_hash)
    newest = select(Post).where(Post.author_id == user_id).order_by(col(Post.id).desc()).limit(MAX_POSTS)
    posts = (await session.exec(newest.options(columns_of(Post, PostSummary), load_many(Post.tags)))).all()
    set_committed_value(user, "posts", posts[::-1])
    return user


@router.put(
    "/{id}",
    response_model=UserRead,
    responses=problems(404, 409, 429),
    dependencies=[Depends(_visible_user_id), Throttled],
)
async def replace_user(data: UserBase, user: UserToWrite, session: WriteSession, change: ChangeProfile) -> User:
    """Replace the username, the e-mail address, the full name and the bio; absent fields are cleared."""
    await change(session, user, data)
    return user


@router.patch(
    "/{id}",
    response_model=UserRead,
    responses=problems(403, 404, 409, 429),
    dependencies=[Depends(_refuse_staff_fields), Throttled],
)
async def update_user(data: UserUpdate, user: UserToWrite, session: WriteSession, change: ChangeProfile) -> User:
    """Change only the fields that are sent. Only staff may set `is_active` and `is_superuser`."""
    await user_access.change(session, user, data)
    await change(session, user, data)
    return user


@router.delete("/{id}", status_code=204, responses=problems(404, 409))
async def delete_user(user: UserToWrite, session: WriteSession) -> None:
    """Erase a user: personal data is deleted, orders and transactions are kept."""
    await erasure.erase(session, user)


@router.delete("/{id}/soft", response_model=UserRead, responses=problems(404, 409))
async def deactivate_user(user: UserToWrite, session: WriteSession) -> User:
    """Deactivate a user. All tokens are revoked, and only staff can activate the user again."""
    await user_access.deactivate(session, user)
    return user
