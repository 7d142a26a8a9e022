"""What the sections of the settings are made of."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from orchestrator.errors import SettingsError

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings. It never changes, and refuses names and figures that it does not know."""

    # hide_input_in_errors: a value that is refused may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def read_secret(path: Path, what: str, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The first line of a file; a relative path is looked up in $CREDENTIALS_DIRECTORY first.

    Raises SettingsError that names `what` and the file.
    """
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / path).exists():
        path = Path(directory) / path
    try:
        text = path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise SettingsError(f"{what}: {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: {path} is not UTF-8 text") from None
    if not text:
        raise SettingsError(f"{what}: {path} is empty")
    return SecretStr(text)
