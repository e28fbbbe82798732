"""Who is on this machine: addresses, host names and the pages a browser may send requests for."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host in ("127.0.0.1", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_own_origin(origin: str | None) -> bool:
    """Whether a request comes from a program (no Origin) or from a page of this machine.

    Any page in the user's browser can send requests to this machine; it cannot hide where it comes from.
    """
    if not origin:
        return True
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def is_own_host(authority: str) -> bool:
    """Whether a Host header names this machine: a foreign name that resolves here is a page's DNS trick."""
    try:
        return is_loopback(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return False
