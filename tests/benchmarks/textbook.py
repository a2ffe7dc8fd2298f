"""The shop as the tutorials write it, to be compared with: `uvicorn textbook:app`, with `DATABASE_URL` set.

`def` routes in threads, a sync session on psycopg, ORM objects loaded with `joinedload` and `selectinload`, a
`response_model`, and a token looked up by its hash. It has no idempotency keys, stock movements, events, notifications,
retries or deadlines.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from sqlalchemy.orm import joinedload, selectinload
from sqlmodel import JSON, Column, DateTime, Field, Relationship, Session, SQLModel, col, create_engine, func, select

sys.path.append(str(Path(__file__).parent))
import rows as made

CONNECTIONS = int(os.environ.get("DATABASE_POOL_SIZE", "16"))
engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=CONNECTIONS, max_overflow=0
)
app = FastAPI()

T = TypeVar("T")


def utcnow() -> datetime:
    return datetime.now(UTC)


class Times(SQLModel):
    created_at: datetime = Field(default_factory=utcnow, sa_type=DateTime(timezone=True))  # type: ignore[call-overload]
    updated_at: datetime = Field(default_factory=utcnow, sa_type=DateTime(timezone=True))  # type: ignore[call-overload]


class CategoryBase(SQLModel):
    name: str = Field(index=True, max_length=100)
    slug: str = Field(unique=True, max_length=120)
    description: str | None = None
    parent_id: int | None = Field(default=None, foreign_key="category.id", index=True)


class Category(CategoryBase, Times, table=True):
    id: int | None = Field(default=None, primary_key=True)


class CategoryRead(CategoryBase, Times):
    id: int


class CategoryTree(CategoryRead):
    children: list["CategoryTree"] = []


class UserBase(SQLModel):
    username: str = Field(unique=True, max_length=50)
    email: str = Field(unique=True, max_length=254)
    full_name: str | None = None
    bio: str | None = None
    is_active: bool = True
    is_superuser: bool = False


class User(UserBase, Times, table=True):
    __tablename__ = "users"

    id: int | None = Field(default=None, primary_key=True)
    hashed_password: str
    balance: Decimal = Field(default=made.BALANCE, max_digits=12, decimal_places=2)


class UserRead(UserBase, Times):
    id: int


class Token(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    token_hash: str = Field(unique=True)
    user_id: int = Field(foreign_key="users.id", index=True)


class ProductBase(SQLModel):
    name: str = Field(index=True, max_length=200)
    slug: str = Field(unique=True, max_length=120)
    sku: str = Field(unique=True, max_length=50)
    description: str | None = None
    price: Decimal = Field(max_digits=12, decimal_places=2, index=True)
    stock_quantity: int = 0
    is_active: bool = True
    category_id: int | None = Field(default=None, foreign_key="category.id", index=True)


class Product(ProductBase, Times, table=True):
    id: int | None = Field(default=None, primary_key=True)
    attributes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON))
    category: Category | None = Relationship()


class ProductRead(ProductBase, Times):
    id: int
    attributes: dict[str, Any]
    category: CategoryRead | None


class OrderItemBase(SQLModel):
    product_id: int = Field(foreign_key="product.id", index=True)
    product_name: str
    sku: str
    quantity: int
    unit_price: Decimal = Field(max_digits=12, decimal_places=2)
    total_price: Decimal = Field(max_digits=12, decimal_places=2)


class OrderItem(OrderItemBase, table=True):
    id: int | None = Field(default=None, primary_key=True)
    order_id: int | None = Field(default=None, foreign_key="orders.id", index=True)


class OrderItemRead(OrderItemBase):
    id: int


class OrderBase(SQLModel):
    order_number: str = Field(unique=True)
    user_id: int = Field(foreign_key="users.id", index=True)
    status: str = "pending"
    total_amount: Decimal = Field(max_digits=12, decimal_places=2)
    paid_amount: Decimal = Field(default=Decimal("0.00"), max_digits=12, decimal_places=2)
    shipping_address: str | None = None


class Order(OrderBase, Times, table=True):
    __tablename__ = "orders"

    id: int | None = Field(default=None, primary_key=True)
    items: list[OrderItem] = Relationship()


class OrderRead(OrderBase, Times):
    id: int


class OrderReadWithItems(OrderRead):
    items: list[OrderItemRead]


class Payment(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    order_id: int = Field(foreign_key="orders.id", index=True)
    method: str
    amount: Decimal = Field(max_digits=12, decimal_places=2)
    created_at: datetime = Field(default_factory=utcnow, sa_type=DateTime(timezone=True))  # type: ignore[call-overload]


class Transfer(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    from_account_id: int = Field(foreign_key="users.id", index=True)
    to_account_id: int = Field(foreign_key="users.id", index=True)
    amount: Decimal = Field(max_digits=12, decimal_places=2)
    created_at: datetime = Field(default_factory=utcnow, sa_type=DateTime(timezone=True))  # type: ignore[call-overload]


class Line(SQLModel):
    product_id: int
    quantity: int = Field(gt=0)


class OrderCreate(SQLModel):
    items: list[Line]
    shipping_address: str | None = None


class PaymentCreate(SQLModel):
    method: str
    amount: Decimal = Field(gt=0)


class TransferCreate(SQLModel):
    to_account_id: int
    amount: Decimal = Field(gt=0)


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int
    page: int
    page_size: int


class CursorPage(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def get_current_user(token: Annotated[str, Depends(OAuth2PasswordBearer("token"))], session: SessionDep) -> User:
    hashed = hashlib.sha256(token.encode()).hexdigest()
    statement = select(User).join(Token).where(Token.token_hash == hashed, col(User.is_active))
    user = session.exec(statement).first()
    if user is None:
        raise HTTPException(401, "Invalid token")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


def paginated(session: Session, statement: Any, page: int, page_size: int, order: Any) -> dict[str, Any]:
    total = session.exec(select(func.count()).select_from(statement.subquery())).one()
    rows = statement.order_by(order).offset((page - 1) * page_size).limit(page_size)
    return {"items": session.exec(rows).all(), "total": total, "page": page, "page_size": page_size}


@app.get("/health/ready")
def health() -> str:
    return "ok"


@app.get("/products", response_model=Page[ProductRead] | CursorPage[ProductRead])
def list_products(
    session: SessionDep, page: int = 1, page_size: Annotated[int, Query(le=100)] = 20, cursor: str | None = None
) -> Any:
    newest = col(Product.id).desc()
    if cursor is None:
        loaded = select(Product).where(Product.is_active).options(joinedload(Product.category))  # type: ignore[arg-type]
        total = session.exec(select(func.count()).select_from(Product).where(Product.is_active)).one()
        rows = session.exec(loaded.order_by(newest).offset((page - 1) * page_size).limit(page_size)).all()
        return {"items": rows, "total": total, "page": page, "page_size": page_size}
    loaded = select(Product).where(Product.is_active).options(joinedload(Product.category))  # type: ignore[arg-type]
    if cursor:
        loaded = loaded.where(col(Product.id) < int(cursor))
    rows = session.exec(loaded.order_by(newest).limit(page_size + 1)).all()
    following = str(rows[page_size - 1].id) if len(rows) > page_size else None
    return {"items": rows[:page_size], "next_cursor": following}


@app.get("/products/{product_id}", response_model=ProductRead)
def read_product(product_id: int, session: SessionDep) -> Product:
    statement = select(Product).where(Product.id == product_id, Product.is_active)
    product = session.exec(statement.options(joinedload(Product.category))).first()  # type: ignore[arg-type]
    if product is None:
        raise HTTPException(404, "Not found")
    return product


@app.get("/categories/tree", response_model=list[CategoryTree])
def read_tree(session: SessionDep) -> list[CategoryTree]:
    nodes = {
        each.id: CategoryTree.model_validate(each)
        for each in session.exec(select(Category).order_by(Category.name)).all()
    }
    roots = []
    for node in nodes.values():
        (nodes[node.parent_id].children if node.parent_id else roots).append(node)
    return roots


@app.get("/users/me", response_model=UserRead)
def read_me(user: CurrentUser) -> User:
    return user


@app.get("/orders", response_model=Page[OrderReadWithItems])
def list_orders(user: CurrentUser, session: SessionDep, page: int = 1, page_size: int = 20) -> dict[str, Any]:
    own = select(Order).where(Order.user_id == user.id)
    total = session.exec(select(func.count()).select_from(Order).where(Order.user_id == user.id)).one()
    rows = own.options(selectinload(Order.items)).order_by(col(Order.id).desc())  # type: ignore[arg-type]
    found = session.exec(rows.offset((page - 1) * page_size).limit(page_size)).all()
    return {"items": found, "total": total, "page": page, "page_size": page_size}


def own_order(order_id: int, user: User, session: Session, *, lock: bool = False) -> Order:
    statement = select(Order).where(Order.id == order_id).options(selectinload(Order.items))  # type: ignore[arg-type]
    if not user.is_superuser:
        statement = statement.where(Order.user_id == user.id)
    order = session.exec(statement.with_for_update() if lock else statement).first()
    if order is None:
        raise HTTPException(404, "Not found")
    return order


@app.get("/orders/{order_id}", response_model=OrderReadWithItems)
def read_order(order_id: int, user: CurrentUser, session: SessionDep) -> Order:
    return own_order(order_id, user, session)


@app.post("/orders", response_model=OrderReadWithItems, status_code=201)
def place_order(data: OrderCreate, user: CurrentUser, session: SessionDep) -> Order:
    order = Order(
        order_number=f"ORD-{uuid4()}", user_id=user.id, shipping_address=data.shipping_address, total_amount=Decimal(0)
    )
    for line in sorted(data.items, key=lambda each: each.product_id):
        product = session.get(Product, line.product_id, with_for_update=True)
        if product is None or not product.is_active:
            raise HTTPException(422, "No such product")
        if product.stock_quantity < line.quantity:
            raise HTTPException(409, "Not enough stock")
        product.stock_quantity -= line.quantity
        total = product.price * line.quantity
        order.items.append(
            OrderItem(
                product_id=product.id,
                product_name=product.name,
                sku=product.sku,
                quantity=line.quantity,
                unit_price=product.price,
                total_price=total,
            )
        )
        order.total_amount += total
    session.add(order)
    session.commit()
    session.refresh(order)
    return order


@app.patch("/orders/{order_id}/status", response_model=OrderRead)
def change_status(order_id: int, new_status: str, user: CurrentUser, session: SessionDep) -> Order:
    order = own_order(order_id, user, session, lock=True)
    if order.status != "pending" or not user.is_superuser:
        raise HTTPException(409, "Wrong status")
    order.status = new_status
    session.commit()
    session.refresh(order)
    return order


@app.post("/orders/{order_id}/cancel", response_model=OrderRead)
def cancel_order(order_id: int, user: CurrentUser, session: SessionDep) -> Order:
    order = own_order(order_id, user, session, lock=True)
    if order.status not in ("pending", "confirmed"):
        raise HTTPException(409, "Wrong status")
    for item in order.items:
        product = session.get(Product, item.product_id, with_for_update=True)
        assert product is not None
        product.stock_quantity += item.quantity
    order.status = "cancelled"
    session.commit()
    session.refresh(order)
    return order


@app.post("/orders/{order_id}/payments", response_model=Payment, status_code=201)
def pay_order(order_id: int, data: PaymentCreate, user: CurrentUser, session: SessionDep) -> Payment:
    order = own_order(order_id, user, session, lock=True)
    if order.paid_amount + data.amount > order.total_amount:
        raise HTTPException(409, "Too much")
    order.paid_amount += data.amount
    payment = Payment(order_id=order_id, method=data.method, amount=data.amount)
    session.add(payment)
    session.commit()
    session.refresh(payment)
    return payment


@app.post("/accounts/transfers", response_model=Transfer, status_code=201)
def transfer(data: TransferCreate, user: CurrentUser, session: SessionDep) -> Transfer:
    target_id = data.to_account_id - made.SHOP_ACCOUNTS
    ids = sorted((user.id or 0, target_id))
    accounts = session.exec(
        select(User)
        .where(col(User.id).in_(ids))
        .order_by(col(User.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    by_id = {each.id: each for each in accounts}
    if by_id[user.id].balance < data.amount:
        raise HTTPException(409, "Balance too low")
    by_id[user.id].balance -= data.amount
    by_id[target_id].balance += data.amount
    moved = Transfer(from_account_id=user.id or 0, to_account_id=target_id, amount=data.amount)
    session.add(moved)
    session.commit()
    session.refresh(moved)
    return moved


def fill(products: int, to_change: int) -> None:
    """Make the tables and their rows, with the ids that the shop's rows have."""
    data = made.make_rows(products, to_change)
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(User(**each) for each in data.users)
        first = [Category(name=f"First {n}", slug=f"first-{n}") for n in range(1, made.FIRST_CATEGORY)]
        session.add_all(first)
        session.flush()
        session.add_all(Category(**each) for each in data.categories)
        session.flush()
        session.add_all(Product(**each) for each in data.products)
        tokens = (Token(token_hash=made.hash_of(data.token(n)), user_id=n) for n in range(1, 1 + len(data.users)))
        session.add_all(tokens)
        session.flush()
        for each in data.orders:
            session.add(Order(**{**each, "items": [OrderItem(**item) for item in each["items"]]}))
        session.commit()


if __name__ == "__main__":
    fill(*map(int, sys.argv[1:]))
