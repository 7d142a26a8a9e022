"""Where settings come from: layers of values, each of which can name the place of every value.

A layer is a tree of dicts, lists and scalars. A higher layer wins over a lower one: tables are merged
key by key, everything else is replaced; a layer of the environment may also change single entries of a
list (`ORCHESTRATOR_ACCOUNTS__0__PASSWORD`).
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from orchestrator.errors import SettingsError

Key = str | int
Route = tuple[Key, ...]
"""The way to a value: names of sections and keys, and indexes of lists."""


def dotted(route: Route) -> str:
    return ".".join(map(str, route))


@dataclass(frozen=True)
class Layer:
    """One source: its values, and how it names the place of one of them."""

    values: Mapping[Any, Any]
    place: Callable[[Route], str]

    def has(self, route: Route) -> bool:
        """Whether this layer itself gives a value, or a part of one, at `route`."""
        return lookup(self.values, route) is not None


def lookup(tree: Any, route: Route) -> Any:
    """What stands at `route` in `tree`, or None. (No source can give None as a value.)"""
    for key in route:
        if isinstance(tree, Mapping):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int):
            tree = tree[key] if key < len(tree) else None
        else:
            return None
    return tree


def find_place(layers: Sequence[Layer], route: Route) -> str | None:
    """The place that gives `route`, or the nearest thing around it; `layers` run from high to low."""
    for length in range(len(route), 0, -1):
        for layer in layers:
            if layer.has(route[:length]):
                return layer.place(route[:length])
    return None


def merge_all(layers: Sequence[Layer]) -> dict[Any, Any]:
    """One tree of `layers`, which run from high to low. Raises SettingsError for a gap in a list."""
    tree: dict[Any, Any] = {}
    for layer in reversed(layers):
        try:
            tree = merge(tree, layer.values)
        except IndexError as error:
            raise SettingsError(f"{layer.place(())}: {error}") from error
    return tree


def merge(low: Any, high: Any) -> Any:
    """`low` with `high` laid over it; neither is changed. A dict of numbers changes single list entries.

    Raises IndexError when that would leave a gap in the list.
    """
    if isinstance(high, Mapping) and high and all(isinstance(key, int) for key in high):
        return _merge_entries(low if isinstance(low, list) else [], high)
    if isinstance(high, Mapping):
        below = low if isinstance(low, Mapping) else {}
        return {**below, **{key: merge(below.get(key), value) for key, value in high.items()}}
    return high


def _merge_entries(low: list[Any], high: Mapping[int, Any]) -> list[Any]:
    entries = list(low)
    for index in sorted(high):
        if index > len(entries):
            raise IndexError(
                f"there is no entry {index}; the list has {len(entries)}, so the next is {len(entries)}"
            )
        below = entries[index] if index < len(entries) else None
        entries[index : index + 1] = [merge(below, high[index])]
    return entries


# ── TOML ────────────────────────────────────────────────────────────────────────────────────────


def read_toml(path: Path) -> Layer:
    """The layer of a TOML file. Raises SettingsError that names the file, and the line if there is one."""
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}, {_syntax_error(str(error), text)}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: a settings file must be UTF-8, byte {error.start} is not") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: the settings file nests too deeply") from error
    except OSError as error:
        raise SettingsError(f"{path}: the settings file can't be read: {error.strerror}") from error
    lines = _Lines(text)
    return Layer(values, lambda route: f"in {path}, line {lines.of(route)}")


def _syntax_error(message: str, text: str) -> str:
    """tomllib's message with the line first."""
    if match := re.search(r" \(at line (\d+), column \d+\)$", message):
        return f"line {match[1]}: {message[: match.start()]}"
    return f"line {len(text.splitlines())}: {message.removesuffix(' (at end of document)')}"


class _Lines:
    """The line of every table and key of a TOML text that tomllib accepts."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, route: Route) -> int:
        """The line of `route`, or of the nearest table around it."""
        return next((self._all[r] for n in range(len(route), 0, -1) if (r := route[:n]) in self._all), 1)

    @cached_property
    def _all(self) -> dict[Route, int]:
        lines: dict[Route, int] = {}
        table: Route = ()
        entries: dict[Route, int] = {}
        for number, statement in _statements(self._text):
            if statement.lstrip().startswith("["):
                table = _enter_table(statement, entries)
                lines.setdefault(table, number)
            else:
                for route in _routes(tomllib.loads(statement)):
                    lines.setdefault(table + route, number)
        return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with its first line: as many lines as tomllib needs to accept them."""
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        first = first if statement else number
        statement += line + "\n"
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a value that goes on in the next line
        yield first, statement
        statement = ""


def _enter_table(header: str, entries: dict[Route, int]) -> Route:
    """The route of `[a.b]` or `[[a.b]]`; `entries` counts the tables of each array so far."""
    names = list(_routes(tomllib.loads(header)))[-1]
    is_array = header.lstrip().startswith("[[")
    names = tuple(name for name in names if isinstance(name, str))
    route: Route = ()
    for position, name in enumerate(names, 1):
        route += (name,)
        if is_array and position == len(names):
            entries[route] = entries.get(route, 0) + 1
        if route in entries:
            route += (entries[route] - 1,)
    return route


def _routes(node: Any, route: Route = ()) -> Iterator[Route]:
    """The routes of everything in `node`, outer ones first."""
    if route:
        yield route
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield from _routes(value, (*route, key))


# ── environment ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Variable:
    """An environment variable that names a setting."""

    name: str
    text: str
    route: Route
    kind: Any
    """The setting's type, or None when there is no such setting."""

    def layer(self) -> Layer:
        """This variable as a layer. A list or table is written as JSON: raises ValueError when it is not."""
        value: Any = json.loads(self.text) if is_compound(self.kind) else self.text
        for key in reversed(self.route):
            value = {key: value}
        return Layer(value, lambda _route: f"from {self.name}")


def read_variables(model: type[BaseModel], prefix: str, environ: Mapping[str, str]) -> list[Variable]:
    """The variables that start with `prefix`, known or not; an empty one counts as not set.

    Single values come before the tables around them and later entries of a list before earlier ones, so
    that as layers from high to low they build on each other.
    """
    found = []
    for name, text in environ.items():
        if name.upper().startswith(prefix) and text:
            route, kind = _follow(model, name[len(prefix) :].lower().split("__"))
            found.append(Variable(name, text, route, kind))
    return sorted(found, key=_depth_and_order, reverse=True)


def _depth_and_order(variable: Variable) -> tuple[int, list[str]]:
    return len(variable.route), [str(key).zfill(9) for key in variable.route]


def _follow(model: Any, parts: Sequence[str]) -> tuple[Route, Any]:
    """Walk the types of `model` along `parts`; the type is None when the way ends nowhere."""
    kind: Any = model
    route: Route = ()
    for part in parts:
        key, kind = _step(unwrap(kind), part)
        route = (*route, key)
    return route, kind


def _step(kind: Any, part: str) -> tuple[Key, Any]:
    if is_section(kind):
        field = kind.model_fields.get(part)
        return part, field.annotation if field else None
    if get_origin(kind) is dict:
        return part, get_args(kind)[1]
    if get_origin(kind) is list and part.isdecimal():
        return int(part), get_args(kind)[0]
    return part, None


def unwrap(kind: Any) -> Any:
    """`X` for `Annotated[X, …]` and for `X | None`."""
    if get_origin(kind) is Annotated:
        return unwrap(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        (kind, *more) = [arm for arm in get_args(kind) if arm is not type(None)]
        return unwrap(kind) if not more else None
    return kind


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_compound(kind: Any) -> bool:
    kind = unwrap(kind)
    return is_section(kind) or get_origin(kind) in (list, dict)
