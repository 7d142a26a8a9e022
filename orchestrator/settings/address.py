"""The address of a PostgreSQL server: whether it can be one, and how it is shown without its password."""

import ipaddress
from urllib.parse import parse_qs, unquote, urlsplit

FORM = "must have the form postgresql://user:password@host:5432/name, with special characters percent-encoded"

_SCHEMES = ("postgresql", "postgres")


def shown_address(dsn: str) -> str:
    """Database and host, such as "posts on db.example.org:5432".

    Raises ValueError, with no part of the address in it, for what is no address of PostgreSQL.
    """
    try:
        parts = urlsplit(dsn)
        hosts = parts.netloc.rpartition("@")[2]
        for host in hosts.split(","):
            _check_port(host)
    except ValueError:
        raise ValueError(FORM) from None
    if parts.scheme not in _SCHEMES or not dsn.startswith(f"{parts.scheme}://"):
        raise ValueError(FORM)
    if parts.fragment or "@" in parts.path + parts.query:  # a piece of the password
        raise ValueError(FORM)
    query = parse_qs(parts.query)
    database = (
        unquote(parts.path.lstrip("/")) or _first(query, "dbname", "database") or "the default database"
    )
    return f"{database} on {hosts or _first(query, 'host') or 'the default host'}"


def passwords_in(url: str) -> set[str]:
    """The passwords that an address carries, as they are spelled there and as they are meant."""
    try:
        parts = urlsplit(url)
        found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    except ValueError:  # none that anybody could use
        return set()
    return {word for spelled in found for word in (spelled, unquote(spelled)) if word}


def is_on_this_machine(dsn: str) -> bool:
    """Whether every host that the address names is this machine: a socket's folder, or a loopback address."""
    parts = urlsplit(dsn)
    in_query = [host for value in parse_qs(parts.query).get("host", []) for host in value.split(",")]
    named = unquote(parts.netloc.rpartition("@")[2])
    hosts = [_without_port(host) for host in named.split(",") if host] + in_query
    return bool(hosts) and all(map(_is_this_machine, hosts))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.startswith("/") else host.partition(":")[0]


def _is_this_machine(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_port(host: str) -> None:
    port = host.rpartition("]")[2].rpartition(":") if "]" in host else host.rpartition(":")
    if port[1] and not 0 < int(port[2]) < 65536:
        raise ValueError(FORM)


def _first(query: dict[str, list[str]], *names: str) -> str:
    return next((query[name][0] for name in names if name in query), "")
