"""What the sections of the settings are made of."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from orchestrator.errors import SettingsError

Seconds = Annotated[float, Field(gt=0)]
CREDENTIALS = "orchestrator_"
"""How systemd begins the names of files of a directory that is loaded as `orchestrator`."""
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings. It never changes, and refuses names and figures that it does not know."""

    # hide_input_in_errors: a value that is refused may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def find_credential(name: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file of a credential that systemd has handed over, by its own name or as one of our directory's."""
    directory = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if not directory or Path(name).is_absolute():
        return None
    candidates = (Path(directory, name), Path(directory, CREDENTIALS + name.replace("/", "_")))
    return next((path for path in candidates if path.exists()), None)


def read_secret(path: Path, what: str, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The first line of a file; a relative path is looked up in $CREDENTIALS_DIRECTORY first.

    Raises SettingsError that names `what` and the file.
    """
    path = find_credential(str(path), environ) or path
    try:
        text = path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise SettingsError(f"{what}: {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: {path} is not UTF-8 text") from None
    if not text:
        raise SettingsError(f"{what}: {path} is empty")
    return SecretStr(text)
