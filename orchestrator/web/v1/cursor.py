"""Cursors: where a page of a list ended, as a text that only we can have made.

A cursor is the position and a signature of it, in base64. The signature is over list and filters too, so a
cursor holds for the list that it came from, and nobody can ask for a position of his own making.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.db.listing import Key
from orchestrator.errors import RequestError

SIGNATURE_BYTES = 16


class Cursors:
    """Makes and reads cursors with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, listing: str, filters: Mapping[str, Any], position: Key) -> str:
        """The cursor for what lies beyond `position`: texts, numbers and moments."""
        said = json.dumps([_plain(part) for part in position], separators=(",", ":")).encode()
        sealed = said + self._signature(listing, filters, said)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, listing: str, filters: Mapping[str, Any], cursor: str) -> Key:
        """The position. Raises RequestError for what we have not made for this list and these filters."""
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            sealed = b""
        said, signature = sealed[:-SIGNATURE_BYTES], sealed[-SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(listing, filters, said)):
            remedy = "Take next_cursor of the last page, with the same filters; or begin anew without cursor"
            raise RequestError("the cursor is none of this list and these filters", remedy=remedy)
        return tuple(_part(part) for part in json.loads(said))

    def _signature(self, listing: str, filters: Mapping[str, Any], said: bytes) -> bytes:
        scope = json.dumps([listing, sorted(filters.items())], default=str).encode()
        return hmac.digest(self._key, scope + b"\0" + said, "sha256")[:SIGNATURE_BYTES]


def _plain(part: Any) -> Any:
    return {"at": part.isoformat()} if isinstance(part, datetime) else part


def _part(part: Any) -> Any:
    return datetime.fromisoformat(part["at"]) if isinstance(part, dict) else part
