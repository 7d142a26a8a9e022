"""What is cached together: a name, a type, and for how long a value counts."""

import re
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import CacheValueError

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
MAX_KEY_CHARS = 512


class Level(IntEnum):
    """For how long a value counts, in seconds of the daemon's clock."""

    MINUTE = 60
    FIVE_MINUTES = 300
    QUARTER_HOUR = 900
    HALF_HOUR = 1800
    HOUR = 3600
    DAY = 86_400


class Namespace(Generic[T]):
    """Values of one kind. Make it once, at the top of a module.

    `kind` is a type that pydantic knows how to check; values are kept as JSON, and what is read is checked
    against it. Raise `version` when values of the same type begin to mean something else. Raises ValueError
    for a name that is no lower-case identifier.
    """

    def __init__(self, name: str, level: Level, kind: Any, *, version: int = 1) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} can't name a cache: 1 to 32 of a-z, 0-9 and _, a letter first")
        self.name = name
        self.level = level
        self.version = version
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def __repr__(self) -> str:
        return f"Namespace({self.name!r}, {self.level.name}, version={self.version})"

    def pack(self, value: T) -> tuple[bytes, T]:
        """The value as JSON, and as it will be read. Raises CacheValueError for what can't be kept."""
        try:
            data = self._adapter.dump_json(value, warnings="error")
            return data, self.decode(data)
        except ValueError as error:
            text = f"cache {self.name} can't keep a {type(value).__name__}: {_first_line(error)}"
            raise CacheValueError(text, remedy="Correct the type of the namespace") from error

    def decode(self, data: bytes) -> T:
        """Raises ValueError for what is no value of this namespace: damaged, or of another version."""
        return self._adapter.validate_json(data)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────
    #
    # namespace.version : account : name. Each part is percent-encoded, so there is no other colon, and
    # no sign that a pattern of Redis could take for its own.

    def key(self, name: str, account: str = "") -> str:
        """Raises ValueError for a name that is empty or too long."""
        return _checked(name, f"{self._head}:{_quoted(account)}:{_quoted(name)}")

    def pattern(self, names: str) -> str:
        """Of the keys whose names match, of all accounts; `*` stands for any characters."""
        return _checked(names, f"{self._head}:*:{'*'.join(map(_quoted, names.split('*')))}")

    @property
    def _head(self) -> str:
        return f"{self.name}.{self.version}"


def of_account(account: str) -> str:
    """The pattern of all keys that belong to an account. Raises ValueError for an empty name."""
    return _checked(account, f"*:{_quoted(account)}:*")


def matches(key: str, pattern: str) -> bool:
    return fnmatchcase(key, pattern)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _checked(name: str, key: str) -> str:
    if not name:
        raise ValueError("what is cached needs a name")
    if len(key) > MAX_KEY_CHARS:
        raise ValueError(f"{name[:40]!r}… is too long for a key: {len(key)} of {MAX_KEY_CHARS} characters")
    return key


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, found["loc"]))
        return f"{where}: {found['msg']}" if where else found["msg"]
    return str(error).partition("\n")[0]
