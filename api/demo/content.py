"""What the texts of the demo are made of: the three files beside this module."""

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from api.models.post import PostStatus

FOLDER = Path(__file__).parent


class Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Leaf(Content):
    """A category that has products, and what they are made of."""

    name: str
    code: str
    """What its SKUs begin with."""
    brands: list[str]
    nouns: list[str]
    series: list[str] = []
    pattern: str = "{brand} {series} {noun}, {variant}"
    price: tuple[int, int]
    variant: dict[str, list[str]]
    step: float = 0
    """The share of its price by which a model's next variant is dearer."""
    attributes: dict[str, list[JsonValue]]
    description: str


class Shelf(Content):
    name: str
    description: str
    leaves: list[Leaf]


class Department(Content):
    name: str
    description: str
    shelves: list[Shelf]


class Catalog(Content):
    series: list[str]
    """Of all leaves that have none of their own."""
    departments: list[Department]


class Country(Content):
    name: str
    first_names: list[str]
    last_names: list[str]
    streets: list[str]
    cities: list[str]
    address: str


class People(Content):
    countries: list[Country]


class Article(Content):
    title: str
    tags: list[str]
    days: int
    status: PostStatus = PostStatus.PUBLISHED
    content: str


class Articles(Content):
    tags: list[str]
    posts: list[Article]


@cache
def catalog() -> Catalog:
    return Catalog.model_validate(_read("catalog"))


@cache
def people() -> People:
    return People.model_validate(_read("people"))


@cache
def articles() -> Articles:
    return Articles.model_validate(_read("posts"))


def _read(name: str) -> dict[str, JsonValue]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
