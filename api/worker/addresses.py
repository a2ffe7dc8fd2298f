"""Which addresses the shop calls: those of the public internet, so that nobody reaches its own network through it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

NEVER_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocols (RFC 6890)
    IPv4Network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    IPv6Network("::/96"),  # IPv4-compatible (RFC 4291), deprecated
    IPv6Network("64:ff9b:1::/48"),  # a network's own NAT64 (RFC 8215)
    IPv6Network("2001::/23"),  # Teredo and other protocols (RFC 2928)
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
    IPv6Network("5f00::/16"),  # segment routing (RFC 9602)
    IPv6Network("fec0::/10"),  # site-local, deprecated
)
"""Beside those that Python knows as not global, which differ from release to release."""

NAT64 = IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an address, as a connection is made to it, is one of the public internet."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and (inner := _inside(address)) is not None:
        return is_public(str(inner))
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in each for each in NEVER_PUBLIC if each.version == address.version)
    )


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that the network makes of an IPv6 address."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
