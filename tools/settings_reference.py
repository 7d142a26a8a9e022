"""Writes docs/settings.md from the settings themselves: `make docs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from orchestrator.settings import PREFIX, Settings
from orchestrator.settings.sources import Route, dotted, is_section, unwrap
from orchestrator.settings.words import Schema

TARGET = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = f"""\
# Settings

Every setting of the daemon. This page is made from the code (`make docs`); a test keeps it up to date.

A setting is taken from the first of these that has it:

1. the command line;
2. the environment: `{PREFIX}` and the name in capitals, with `__` for each dot, such as
   `{PREFIX}HTTP__PORT=8701`. Lists and tables are written as JSON; one entry of a list can be changed by
   its number, such as `{PREFIX}ACCOUNTS__0__PASSWORD`. An empty variable counts as not set;
3. the TOML file that `--config` or `{PREFIX}CONFIG` names;
4. the default.

An unknown name, a value that is not allowed, and a variable that starts with `{PREFIX}` but names no setting
stop the program with a line for each. `orchestrator check` checks them, with profiles and password files, and
lists what applies and where it came from. Names that end in `_s` are seconds, in `_h` hours.

```toml
[http]
port = 8700

[sites.blog]
profile = "/etc/orchestrator/blog.toml"
base_url = "https://blog.example"

[[accounts]]
name = "ada"
site = "blog"
username = "ada@blog.example"
password_file = "ada-password"   # systemd: LoadCredential=ada-password:/etc/orchestrator/ada
```
"""


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(_section(Settings, (), Settings.__doc__ or ""))


def _section(model: type[BaseModel], route: Route, about: str) -> Iterator[str]:
    fields = {name: field for name, field in model.model_fields.items() if not _inner(field.annotation)}
    yield f"\n## {f'`{dotted(route)}`' if route else 'At the top'}\n\n"
    if route:
        yield " ".join(about.split()) + "\n\n"
    yield "| setting | allowed | default | |\n|---|---|---|---|\n"
    schema = Schema(Settings)
    for name, field in fields.items():
        allowed, default = schema.allowed((*route, name)), _default(field.default)
        cells = (f"`{name}`", allowed, default, field.description or "")
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
    for name, field in model.model_fields.items():
        if inner := _inner(field.annotation):
            section, steps = inner
            yield from _section(section, (*route, name, *steps), section.__doc__ or "")


def _inner(annotation: Any) -> tuple[type[BaseModel], Route] | None:
    """The section that a field holds, and how its route goes on; None for a single value."""
    kind = unwrap(annotation)
    if is_section(kind):
        return kind, ()
    arguments = get_args(kind)
    if arguments and is_section(arguments[-1]):
        return arguments[-1], ("NAME",) if len(arguments) == 2 else (0,)  # a table, or a list
    return None


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
    print(f"{TARGET.name} is up to date")
