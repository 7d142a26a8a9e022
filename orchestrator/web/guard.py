"""Who may ask over HTTP: the token, and which pages' scripts.

A page of another site could send requests to this machine with the browser of whoever looks at it. It can't
know the token, and it can't hide its Origin.
"""

import hashlib
import hmac
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers

SCHEME = "bearer"
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that proxies add."""


class Token:
    """The secret that a request shows in `Authorization: Bearer …`."""

    def __init__(self, secret: str) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()

    def is_shown(self, headers: Headers) -> bool:
        """Whether the request has it; takes as long for a token that is nearly right as for any other."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        return self.is_right(shown.strip()) and scheme.lower() == SCHEME

    def is_right(self, shown: str) -> bool:
        """Whether it is the token; takes as long for one that is nearly right as for any other."""
        digest = hashlib.sha256(
            shown.encode(errors="replace")
        ).digest()  # of equal length, whatever was shown
        return hmac.compare_digest(digest, self._digest)

    def derived(self, purpose: str) -> bytes:
        """A key that nobody has who has not the token."""
        return hmac.digest(self._digest, purpose.encode(), "sha256")


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine's own users can reach a port on this address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_open_to_read(host: str, allowed_hosts: Collection[str]) -> bool:
    """Whether nobody but this machine's own users can ask a port on this address.

    Names besides those of the loopback are for a proxy before it, through which others come.
    """
    return is_loopback(host) and not allowed_hosts


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy says that it passes the request on."""
    return any(name in headers for name in FORWARDED)


def is_origin_allowed(headers: Headers) -> bool:
    """Whether the request is no script's, or one's of a page of this very host and port.

    The host has been looked at before. https: there may be a proxy in front of us.
    """
    origins = headers.getlist("origin")
    host = headers.get("host", "")
    return all(origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower()) for origin in origins)
