"""Settings in words: what a setting allows, what is wrong with a value, and what applies now.

What is allowed is read off the model's JSON schema, so that error lines, the reference in the docs and
the checks themselves cannot disagree. Secrets, and values that may hold one, are never put into words.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from orchestrator.settings.sources import Layer, Route, Variable, dotted, find_place, lookup

MAX_VALUE_CHARS = 60
HIDDEN = "(hidden)"


class Schema:
    """The JSON schema of a settings model, looked up by route."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    @cached_property
    def _root(self) -> dict[str, Any]:
        return self._model.model_json_schema()

    def at(self, route: Route) -> dict[str, Any]:
        """The schema of the setting at `route`; empty when there is none."""
        node = self._root
        for key in route:
            node = self._inner(self.resolve(node), key)
        return node

    def resolve(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """`node` with references followed, and `X` for "X or not set"."""
        arms = [arm for arm in node.get("anyOf", ()) if arm != {"type": "null"}]
        if len(arms) == 1:
            return self.resolve(arms[0])
        if "$ref" in node:
            return self.resolve(self._root["$defs"][node["$ref"].removeprefix("#/$defs/")])
        return dict(node)

    @staticmethod
    def _inner(node: Mapping[str, Any], key: str | int) -> dict[str, Any]:
        if isinstance(key, int):
            return dict(node.get("items", {}))
        known = node.get("properties", {})
        return dict(known[key] if key in known else node.get("additionalProperties") or {})

    def names(self, route: Route) -> list[str]:
        """The settings in the section at `route`; none when there is no such section."""
        return list(self.resolve(self.at(route)).get("properties", ()))

    def allowed(self, route: Route) -> str:
        """What may be written at `route`, such as "an integer from 1 to 64"."""
        return self._allowed(self.resolve(self.at(route)))

    def _allowed(self, node: Mapping[str, Any]) -> str:
        if "enum" in node:
            return "one of " + ", ".join(map(str, node["enum"]))
        if "const" in node:
            return str(node["const"])
        match node.get("type"), node.get("format"):
            case "boolean", _:
                return "true or false"
            case ("integer" | "number") as kind, _:
                return ("an integer" if kind == "integer" else "a number") + _bounds(node)
            case "string", "path":
                return "a path"
            case "string", _:
                return f"text that matches {node['pattern']}" if "pattern" in node else "text"
            case "array", _:
                return f"a list, each entry {self._allowed(self.resolve(node.get('items', {})))}"
        return "a table of settings"


def _bounds(node: Mapping[str, Any]) -> str:
    low, above, high = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    start = f" above {above:g}" if above is not None else f", at least {low:g}" if low is not None else ""
    return start + (f", at most {high:g}" if high is not None else "")


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Complaints:
    """Says in one line what is wrong with a setting, and where it was set."""

    schema: Schema
    layers: Sequence[Layer]
    """From high to low."""
    tree: Mapping[Any, Any]
    """All layers merged: what was checked."""

    def lines(self, error: ValidationError) -> list[str]:
        found = error.errors(include_url=False, include_context=True)
        return [self._line(tuple(item["loc"]), item["type"], item["msg"]) for item in found]

    def line(self, route: Route, problem: str) -> str:
        """A complaint about a value, which is shown unless it is secret."""
        return f"{self.where(route)}: {problem}"

    def where(self, route: Route, *, is_shown: bool = True) -> str:
        value = self._shown(route) if is_shown else ""
        place = find_place(self.layers, route) or "by default"
        return f"{dotted(route) or 'settings'}{value} ({place})"

    def _line(self, route: Route, kind: str, message: str) -> str:
        if kind == "extra_forbidden":
            return f"{self.where(route, is_shown=False)}: {self._unknown(route)}"
        if kind == "missing":
            return f"{self.where(route, is_shown=False)}: is missing; it must be {self.schema.allowed(route)}"
        if kind == "value_error":
            return f"{self.where(route)}: {message.removeprefix('Value error, ')}"
        return f"{self.where(route)}: must be {self.schema.allowed(route)}"

    def _shown(self, route: Route) -> str:
        schema = self.schema.resolve(self.schema.at(route))
        if schema.get("writeOnly"):
            return f" = {HIDDEN}"
        node = lookup(self.tree, route)
        is_scalar = schema.get("type") in {"boolean", "integer", "number", "string"}
        if node is None or not is_scalar or isinstance(node, Mapping | list):
            return ""  # a default, or something that may hold a secret further in
        text = repr(node)
        return f" = {text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + '…'}"

    def _unknown(self, route: Route) -> str:
        *around, name = route
        names = self.schema.names(tuple(around))
        near = difflib.get_close_matches(str(name), names, n=1)
        if near:
            return f"there is no such setting; did you mean {dotted((*around, near[0]))}?"
        return f"there is no such setting; {dotted(tuple(around)) or 'the top level'} has {', '.join(names)}"


def unknown_variable(variable: Variable, prefix: str, names: Sequence[str], schema: Schema) -> str:
    """The complaint about an environment variable with our `prefix` that names no setting.

    `names` are the variables that would. The value is not shown: it may be a misspelt secret.
    """
    *around, last = variable.route
    beside = schema.names(tuple(around))
    if around and beside:
        # The section is known: a name of another one, or that only begins alike, would mislead.
        near = difflib.get_close_matches(str(last), beside, n=1)
        section = prefix + "__".join(map(str, around)).upper()
        candidates = [f"{section}__{name.upper()}" for name in near]
    else:
        candidates = difflib.get_close_matches(variable.name, names, n=1, cutoff=0.7)
    hint = "docs/settings.md lists them all"
    if candidates:
        hint = f"did you mean {candidates[0]}?"
    elif around and beside:
        hint = f"{dotted(tuple(around))} has {', '.join(beside)}"
    return f"{dotted(variable.route)} (from {variable.name}): there is no such setting; {hint}"


def not_json(variable: Variable) -> str:
    """The complaint about a list or table in the environment; the text itself may hold a secret."""
    example = '["a", "b"] or {"name": "value"}'
    return f"{dotted(variable.route)} (from {variable.name}): must be JSON, such as {example}"


# ── what applies ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting that applies now."""

    name: str
    value: str
    """In words; secrets are hidden."""
    source: str


def rows(settings: BaseModel, layers: Sequence[Layer]) -> Iterator[SettingRow]:
    """Every setting that applies, by name; `layers` run from high to low."""
    for route, value in leaves(settings, ()):
        yield SettingRow(dotted(route), _in_words(value), find_exact(layers, route))


def find_exact(layers: Sequence[Layer], route: Route) -> str:
    for layer in layers:
        if layer.has(route):
            return layer.place(route)
    return "default"


def leaves(value: Any, route: Route) -> Iterator[tuple[Route, Any]]:
    """Every single setting in `value`, which stands at `route`; a list of plain values is one."""
    if isinstance(value, BaseModel):
        children: Any = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict) and value:
        children = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        children = enumerate(value)
    else:
        yield route, value
        return
    for key, child in children:
        yield from leaves(child, (*route, key))


def _in_words(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return "none"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
