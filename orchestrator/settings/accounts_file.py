"""Accounts from a file of their own, CSV or TOML, each value with its line.

A CSV file begins with a line of names; an empty cell counts as not set. A TOML file holds tables
`[[accounts]]` and nothing else.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.settings.sources import Layer, Route, read_toml

KEY = "accounts"


def read_accounts(path: Path, first: int, known: Sequence[str]) -> Layer:
    """The file's accounts as entries `first`, … of the list; `known` are the names of their settings.

    Raises SettingsError that names the file, and the line if there is one.
    """
    if path.suffix == ".csv":
        return _read_csv(path, first, known)
    if path.suffix == ".toml":
        return _read_toml(path, first)
    raise SettingsError(f"{path}: a file with accounts ends in .csv or .toml")


def _read_toml(path: Path, first: int) -> Layer:
    inner = read_toml(path)
    for name in inner.values:
        if name != KEY:
            raise SettingsError(f"{name} ({inner.place((name,))}): this file holds [[accounts]] alone")
    entries = inner.values.get(KEY, [])
    if not isinstance(entries, list):
        raise SettingsError(f"{KEY} ({inner.place((KEY,))}): must be tables [[accounts]]")

    def place(route: Route) -> str:
        return inner.place((KEY, *_own(route, first)))

    return Layer({KEY: dict(enumerate(entries, first))}, place)


def _own(route: Route, first: int) -> Route:
    """What `route`, which begins with `accounts`, is called within the file."""
    index = route[1] if len(route) > 1 else None
    return (index - first, *route[2:]) if isinstance(index, int) else ()


def _read_csv(path: Path, first: int, known: Sequence[str]) -> Layer:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: a file with accounts must be UTF-8, byte {error.start} is not"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path}: the file with accounts can't be read: {error.strerror}") from error
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    entries: dict[int, dict[str, Any]] = {}
    lines: dict[int, int] = {}
    names: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not names:
                names = _names(cells, known, f"{path}, line {rows.line_num}")
                continue
            if len(cells) != len(names):
                what = f"{len(cells)} values for {len(names)} names"
                raise SettingsError(f"{path}, line {rows.line_num}: {what}; the first line has {len(names)}")
            number = first + len(entries)
            entries[number] = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
            lines[number] = rows.line_num
    except csv.Error as error:
        raise SettingsError(f"{path}, line {rows.line_num}: {error}") from error

    def place(route: Route) -> str:
        index = route[1] if len(route) > 1 else None
        return f"in {path}, line {lines.get(index, 1) if isinstance(index, int) else 1}"

    return Layer({KEY: entries}, place)


def _names(cells: list[str], known: Sequence[str], place: str) -> list[str]:
    for at, name in enumerate(cells):
        if name not in known:
            raise SettingsError(f"{place}: there is no setting {name!r}; there are: {', '.join(known)}")
        if name in cells[:at]:
            raise SettingsError(f"{place}: {name} is there twice")
    return cells
