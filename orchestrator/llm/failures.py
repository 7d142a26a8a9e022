"""From an endpoint's answer to the kind of its failure (A3.1)."""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.breaker import Verdict
from orchestrator.errors import (
    LanguageModelError,
    ModelBrokenError,
    ModelFailure,
    ModelQuotaError,
    ModelRateLimitedError,
    ModelRefusedError,
)

MAX_RETRY_IN_S = 86_400.0
"""An endpoint that asks for more is asked again after a day."""
MAX_SAID_CHARS = 200
"""Of what the endpoint says itself."""

NO_MONEY = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Codes and types of a 429 that patience does not mend."""


def judge(error: Exception) -> Verdict:
    """An endpoint that can't be reached, or fails, has failed; one that says no, whatever to, is alive."""
    if not isinstance(error, LanguageModelError):
        return Verdict.NEUTRAL
    is_silent = error.kind in (ModelFailure.NETWORK, ModelFailure.SERVER)
    return Verdict.FAILURE if is_silent else Verdict.SUCCESS


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> LanguageModelError:
    """The error that an answer with another status than 200 stands for."""
    document = read_json(body)
    code, said = _code(document), _said(document)
    text = f"the language model answers {status}{f': {said}' if said else ''}"
    if status == 402 or (status == 429 and code & NO_MONEY):
        return ModelQuotaError(text, remedy="Look at the account with the provider")
    if status == 429:
        return ModelRateLimitedError(text, retry_in_s=retry_in_s(headers))
    if status in (401, 403):
        return ModelRefusedError(text, remedy="Check language_model.api_key")
    if status == 408 or status >= 500:
        return ModelBrokenError(text, retry_in_s=retry_in_s(headers))
    return ModelRefusedError(text, remedy="Check base_url, model and limit_field of language_model")


def retry_in_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds; a date there is compared with the endpoint's own clock in Date."""
    wish = headers.get("retry-after", "").strip()
    try:
        seconds = float(wish)
    except ValueError:
        try:
            wait = parsedate_to_datetime(wish) - parsedate_to_datetime(headers["date"])
        except (KeyError, TypeError, ValueError):
            return None
        seconds = wait.total_seconds()
    return min(max(0.0, seconds), MAX_RETRY_IN_S) if seconds == seconds else None  # noqa: PLR0124 - not a number


def read_json(body: bytes) -> Any:
    """The document, or None for what is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # a thousand brackets are no answer either
        return None


def _error(document: Any) -> Any:
    return document.get("error", document) if isinstance(document, dict) else None


def _code(document: Any) -> set[str]:
    error = _error(document)
    if not isinstance(error, dict):
        return set()
    return {value for value in (error.get("code"), error.get("type")) if isinstance(value, str)}


def _said(document: Any) -> str:
    error = _error(document)
    said = error.get("message", error.get("detail")) if isinstance(error, dict) else error
    line = " ".join(said.split()) if isinstance(said, str) else ""
    return line if len(line) <= MAX_SAID_CHARS else f"{line[:MAX_SAID_CHARS]}…"
