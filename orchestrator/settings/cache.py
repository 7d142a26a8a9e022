"""Settings of the cache: where it is, and how much it may hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from orchestrator.settings.base import Seconds, Section, read_secret

CACHE = "cache"
"""The name of its breaker, and so of its check."""

FORM = (
    "must be redis://host:6379/0, rediss:// for TLS, or unix:///path/of/socket, with ?db=1 for another "
    "database there"
)


class CacheSettings(Section):
    """What would cost a query or a page to find again, kept for a while; `docs/cache.md` says more.

    Without `url` it is kept in this process.
    """

    url: str | None = Field(
        None, description="a Redis server, such as redis://127.0.0.1:6379/0; default: in this process"
    )
    username: str | None = Field(None, description="at the server; default: the server's default user")
    password: SecretStr | None = Field(None, description="this, password_file, or neither")
    password_file: Path | None = Field(
        None, description="its first line; a relative path is looked up in $CREDENTIALS_DIRECTORY first"
    )
    prefix: str = Field(
        "orchestrator",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="how keys at the server begin; each daemon with a database of its own needs its own",
    )
    timeout_s: float = Field(
        0.5, gt=0, le=10, description="one answer of the server, and one connection to it"
    )
    max_mb: int = Field(16, ge=1, le=1024, description="what this process holds, in 10^6 bytes")
    max_entries: int = Field(10_000, ge=1, description="the same in values")
    max_value_kb: int = Field(256, ge=1, le=10_000, description="larger values are not kept, in 10^3 bytes")
    probe_s: Seconds = Field(5, description="a probe of the server that is not back after this has failed")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            address_of(url)
        return url

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        return self

    def read_password(self, environ: Mapping[str, str] | None = None) -> SecretStr | None:
        """The password, from the settings or its file. Raises SettingsError that names the file."""
        if self.password_file is None:
            return self.password
        return read_secret(self.password_file, "cache.password_file", environ)


class CacheAddress(Section):
    """Where a Redis server is: a socket, or host and port."""

    socket: str = ""
    host: str = ""
    port: int = 6379
    has_tls: bool = False
    number: int = 0
    """Of the database at the server."""

    def __str__(self) -> str:
        return f"{self.socket or f'{self.host}:{self.port}'}, database {self.number}"


def address_of(url: str) -> CacheAddress:
    """Raises ValueError, with no part of the address in it, for what is none."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        number, port = query.pop("db", ""), parts.port
    except ValueError:
        raise ValueError(FORM) from None
    if parts.username or parts.password:
        raise ValueError(
            "must have neither user nor password: they go into cache.username and cache.password"
        )
    is_socket = parts.scheme == "unix"
    if not is_socket:
        number = number or parts.path.strip("/")
    if query or parts.fragment or (number and not number.isdecimal()):
        raise ValueError(FORM)
    if is_socket and parts.path.startswith("/") and not parts.netloc:
        return CacheAddress(socket=unquote(parts.path), number=int(number or 0))
    if parts.scheme in ("redis", "rediss") and parts.hostname:
        has_tls = parts.scheme == "rediss"
        return CacheAddress(host=parts.hostname, port=port or 6379, has_tls=has_tls, number=int(number or 0))
    raise ValueError(FORM)
