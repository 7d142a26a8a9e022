"""Settings of the language model: where it is, what it costs, and what may be spent on it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from orchestrator.errors import SettingsError
from orchestrator.settings.base import Seconds, Section, read_secret

LANGUAGE_MODEL = "language_model"
"""The name of its breaker."""

_KEY = re.compile(r"[!-~]+")
"""What a header takes: the library that sends it would show any other key in its error."""


class ModelSettings(Section):
    """One model and its price, in any currency as long as the budget is in the same."""

    name: str = Field(min_length=1, description="as the endpoint calls it")
    input_price: float = Field(ge=0, description="for a million tokens of the question")
    output_price: float = Field(ge=0, description="for a million tokens of the answer")


class LanguageModelSettings(Section):
    """A language model that writes texts, behind any OpenAI-compatible endpoint; `docs/budget.md` says more.

    Without `base_url` there is none, and nothing is missing.
    """

    base_url: str | None = Field(
        None, description="up to the part before `/chat/completions`, such as `https://llm.example/v1`"
    )
    api_key: SecretStr | None = Field(None, description="this, api_key_file, or neither")
    api_key_file: Path | None = Field(
        None, description="its first line; a relative path is looked up in $CREDENTIALS_DIRECTORY first"
    )
    large: ModelSettings | None = Field(
        None, description="the model for times when much of the budget is left"
    )
    small: ModelSettings | None = Field(None, description="the model for the rest; default: the large one")
    daily_budget: float = Field(
        1.0, gt=0, description="at most, from midnight to midnight UTC, in the currency of the prices"
    )
    timeout_s: Seconds = Field(60, le=300, description="one whole call, however slowly the answer comes")
    answer_tokens: int = Field(400, ge=16, le=8192, description="of one answer, at most")
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="how the endpoint wants the limit of the answer to be called"
    )

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://llm.example/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have neither a user, a query nor a fragment; the key goes into api_key")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.api_key is not None and self.api_key_file is not None:
            raise ValueError("give api_key or api_key_file, not both")
        if self.base_url is not None and self.large is None:
            raise ValueError("base_url needs a model: give large its name and prices")
        return self

    def model(self, *, is_large: bool) -> ModelSettings:
        """The one that is asked; only where there is a `base_url`."""
        assert self.large is not None
        return self.large if is_large or self.small is None else self.small

    def read_key(self, environ: Mapping[str, str] | None = None) -> SecretStr | None:
        """The key, from the settings or its file. Raises SettingsError that names the file."""
        key = self.api_key
        if self.api_key_file is not None:
            key = read_secret(self.api_key_file, "language_model.api_key_file", environ)
        if key is not None and not _KEY.fullmatch(key.get_secret_value()):
            raise SettingsError("language_model: the key has characters that no key can have")
        return key
