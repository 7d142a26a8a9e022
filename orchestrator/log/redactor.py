"""Keeps secrets out of what is logged, and out of what is said of an error that nobody foresaw."""

import bisect
import json
import math
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretBytes, SecretStr
from structlog.typing import EventDict, WrappedLogger

from orchestrator.errors import without_queries

HIDDEN = "(hidden)"
MIN_SECRET_CHARS = 4
"""A shorter secret is not searched for in texts: it would blot out half of every line."""
MAX_DEPTH = 8

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|cookie|credential|authorization|dsn|(session|api|private|fernet)_?key",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(?=@)")


class Redactor:
    """The processor that keeps secrets out of events, whatever brought them there.

    Hidden are `SecretStr` values, values under keys that name a secret, passwords and queries in URLs, and
    every occurrence of a secret that it was told of, also inside texts of exceptions. Everything that is no
    plain value becomes text here, so that no renderer calls a `repr` that was not looked at.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._secrets: list[str] = []
        """Longest first: one that is part of another must not leave the other's rest behind."""

    def hide(self, secret: SecretStr | str) -> None:
        """From now on, hide this secret wherever it appears. One that is too short is ignored."""
        text = secret if isinstance(secret, str) else secret.get_secret_value()
        if len(text) >= MIN_SECRET_CHARS:
            secrets = self._secrets.copy()  # another thread may be going through the old list
            for spelling in _spellings(text) - self._known:
                bisect.insort(secrets, spelling, key=lambda known: -len(known))
            self._known |= _spellings(text)
            self._secrets = secrets

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: self._clean(value, key, MAX_DEPTH) for key, value in event.items()}

    def clean(self, text: str) -> str:
        """The text without the secrets that are known by now."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return without_queries(_URL_PASSWORD.sub(rf"\1{HIDDEN}", text))

    def _clean(self, value: Any, key: str, depth: int) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, SecretStr | SecretBytes) or _SECRET_KEY.search(key):
            return HIDDEN
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._clean_many(value, key, depth - 1) if depth else "…"
        is_plain = isinstance(value, str | Path | date)
        return self.clean(str(value) if is_plain else repr(value))

    def _clean_many(self, value: Any, key: str, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {self.clean(str(k)): self._clean(v, str(k), depth) for k, v in value.items()}
        return [self._clean(item, key, depth) for item in value]


def _spellings(secret: str) -> set[str]:
    """The secret as it is, as it stands in addresses, in JSON, and in the `repr` of texts that contain it."""
    in_repr = repr(secret)[1:-1]
    as_bytes = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        quote(as_bytes, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        in_repr,
        in_repr.replace("\\'", "'").replace("'", "\\'"),  # beside a double quote elsewhere in the text
        repr(as_bytes)[2:-1],
    }
