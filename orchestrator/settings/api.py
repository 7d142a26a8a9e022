"""What the HTTP API wants to be shown."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr

from orchestrator.settings.base import Section, read_secret


class ApiSettings(Section):
    """The API at `/api/v1/`; `docs/api.md` explains it."""

    token_file: Path | None = Field(
        None,
        description="its first line is the token; a relative path is looked up in $CREDENTIALS_DIRECTORY "
        "first; default: api-token in the state directory, made at the first start",
    )

    def read_token(self, environ: Mapping[str, str] | None = None) -> SecretStr | None:
        """The token of the file; None: the state directory's. Raises SettingsError that names the file."""
        return None if self.token_file is None else read_secret(self.token_file, "api.token_file", environ)
