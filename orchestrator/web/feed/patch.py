"""JSON Merge Patch (RFC 7396): what turns one document into the next.

A document is an object whose values are objects in turn, or lists, texts, numbers, booleans; lists are
replaced whole. In a patch null means that the key goes, so a document has no nulls: `without_nulls`.
"""

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]


def without_nulls(value: Any) -> Any:
    """The same without keys whose value is None, at any depth; a null in a list stays."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def diff(before: Document, after: Document) -> Document:
    """The patch from `before` to `after`, neither of which has nulls; empty when they are equal."""
    patch: Document = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := diff(old, value):
                patch[key] = inner
        elif value != old:
            patch[key] = value
    return patch


def apply(document: Document, patch: Document) -> Document:
    """`document` after `patch`; neither is changed."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = apply(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result
