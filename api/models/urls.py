"""URLs that the shop itself calls: which ones it takes, and how they are stored.

A host is stored as DNS knows it, so that what is called is what stands there. Spellings that programs read in different
ways are refused: a number for an address, a name behind an `@`, a backslash.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import idna
from pydantic import AfterValidator
from pydantic import Field as Limits

from api.models.texts import LINE

MAX_URL_LENGTH = 2_000
MAX_HOST_LENGTH = 253

_URL = re.compile(r"https?://[!-~]+")
"""Visible ASCII; a host in another script is written in ASCII before."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def checked_url(text: str) -> str:
    """A URL as it is stored.

    Raises:
        ValueError: It is none that the shop calls.
    """
    scheme, separator, rest = text.partition("://")
    if scheme.lower() not in ("http", "https") or not separator:
        raise ValueError("must begin with https:// or http://")
    if "#" in rest:
        raise ValueError("must not have a fragment: a server never sees what stands behind a #")
    end = re.search(r"[/?\\]", rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in authority:
        raise ValueError("must not hold a user name or a password")
    try:
        parts = urlsplit(f"{scheme.lower()}://{authority}")
        port = parts.port
    except ValueError:
        raise ValueError("must have a host, and a port of 1 to 65535 if any") from None
    url = f"{scheme.lower()}://{_host(parts)}{'' if port is None else f':{port}'}{path or '/'}"
    if port == 0 or authority.endswith(":"):
        raise ValueError("must have a host, and a port of 1 to 65535 if any")
    if "\\" in url or not _URL.fullmatch(url):
        raise ValueError("must hold letters of ASCII alone in its path: write others as %C3%A9, a space as %20")
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"must have at most {MAX_URL_LENGTH:,} characters")
    return url


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        try:
            return f"[{IPv6Address(host).compressed}]" if "%" not in host else _refuse_host()
        except AddressValueError:
            return _refuse_host()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            return _refuse_host()
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("must write an address of numbers as four decimal ones, such as 203.0.113.7") from None
    return host if len(host) <= MAX_HOST_LENGTH and all(map(_LABEL.fullmatch, labels)) else _refuse_host()


def _refuse_host() -> str:
    raise ValueError("must have the name or the address of a host, such as hooks.example.com")


Url = Annotated[
    str,
    Limits(min_length=1, max_length=MAX_URL_LENGTH, examples=["https://hooks.example.com/shop"]),
    AfterValidator(checked_url),
    LINE,
]
