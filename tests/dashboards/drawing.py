"""A dashboard's panels drawn as SVG, each at its place: what they say, not how Grafana looks."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

COLUMN, ROW = 50, 30
"""A unit of a dashboard's grid, in pixels."""
GAP, LEFT, RIGHT, TITLE, LEGEND = 6, 52, 8, 24, 14
MOST_IN_LEGEND = 9
COLOURS = (
    *("#0969da", "#b35900", "#1a7f37", "#8250df", "#cf222e", "#9a6700", "#1b7c83", "#bf3989", "#57606a"),
    *("#4493f8", "#e3a33e", "#3fb950", "#ab7df8", "#ff7b72"),
)
NAMED = {"green": "#1a7f37", "red": "#cf222e", "orange": "#b35900", "blue": "#0969da"}
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #59636e; }
.title { font-weight: 600; fill: #1f2328; }
.head { font-size: 16px; font-weight: 600; fill: #1f2328; }
.big { font-size: 26px; font-weight: 600; text-anchor: middle; }
.end { text-anchor: end; }
.small { font-size: 8px; }
.middle { text-anchor: middle; }
.paper { fill: #f6f8fa; }
.card { fill: #ffffff; stroke: #d1d9e0; }
.grid { stroke: #eaeef2; }
.step { stroke: #cf222e; stroke-dasharray: 4 3; }
.line { fill: none; stroke-width: 1.3; }
.area { fill-opacity: 0.4; stroke-width: 0.7; }
"""

Panel = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """What a query has answered: seconds since the start of the picture, and values."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Frame:
    """The room in which a panel draws."""

    x: float
    y: float
    width: float
    height: float
    end_s: float
    """The last second of the time axis."""

    def at(self, second: float, share: float) -> Point:
        """Where that moment is; `share` is the height, from 0 to 1."""
        return self.x + self.width * second / self.end_s, self.y + self.height * (1 - share)


def draw(document: Mapping[str, Any], found: Mapping[str, Sequence[Series]], end_s: float, said: str) -> str:
    """The dashboard of that JSON with what was `found` for each panel, by its title."""
    panels = document["panels"]
    height = 44 + ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width = 24 * COLUMN
    parts = [_text(8, 20, document["title"], "head"), _text(8, 37, said, "")]
    for panel in panels:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN, 44 + place["y"] * ROW
        if panel["type"] == "row":
            parts.append(_text(8, y + 20, panel["title"], "title"))
            continue
        w, h = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        parts.append(f'<rect class="card" x="{x}" y="{y}" width="{w}" height="{h}" rx="4"/>')
        parts.append(_text(x + 8, y + 16, panel["title"], "title"))
        frame = Frame(x + LEFT, y + TITLE, w - LEFT - RIGHT, h - TITLE - 2 * LEGEND - 6, end_s)
        parts += _KINDS[panel["type"]](panel, found.get(panel["title"], ()), frame)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(document["title"])}">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{width}" height="{height}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


# ── kinds of panels ─────────────────────────────────────────────────────────────────────────────


def _lines(panel: Panel, series: Sequence[Series], frame: Frame) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    is_stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    shown = _stacked(series) if is_stacked else series
    highest = max((value for one in shown for _, value in one.points), default=0.0)
    top = defaults.get("max") or _round_up(highest)
    for share in (0, 0.5, 1):
        x, y = frame.at(0, share)
        yield f'<line class="grid" x1="{x:g}" x2="{x + frame.width:g}" y1="{y:g}" y2="{y:g}"/>'
        yield _text(x - 4, y + 4, _said(share * top, defaults["unit"]), "end")
    yield from _time(frame)
    for step in defaults["thresholds"]["steps"][1:]:
        if panel.get("options") and 0 < step["value"] <= top and _has_steps(defaults):
            _, y = frame.at(0, step["value"] / top)
            x2 = frame.x + frame.width
            yield f'<line class="step" x1="{frame.x:g}" x2="{x2:g}" y1="{y:g}" y2="{y:g}"/>'
    for number, one in reversed(list(enumerate(shown))):
        colour = COLOURS[number % len(COLOURS)]
        points = [frame.at(second, min(value, top) / top) for second, value in one.points]
        if is_stacked and points:
            foot = [(points[-1][0], frame.y + frame.height), (points[0][0], frame.y + frame.height)]
            shape = _path([*points, *foot])
            yield f'<polygon class="area" fill="{colour}" stroke="{colour}" points="{shape}"/>'
        else:
            yield f'<polyline class="line" stroke="{colour}" points="{_path(points)}"/>'
    yield from _legend([one.name for one in series], frame)
    if not series:
        yield _nothing(frame)


def _states(panel: Panel, series: Sequence[Series], frame: Frame) -> Iterator[str]:
    """A bar for each series, coloured by its value as long as it has that."""
    names = _names(panel)
    height = min(20.0, frame.height / max(1, len(series)))
    frame = Frame(frame.x + 78, frame.y, frame.width - 78, frame.height, frame.end_s)
    for number, one in enumerate(series):
        y = frame.y + number * height
        yield _text(frame.x - 4, y + height / 2 + 3, one.name, _name_kind(height))
        for since, until, value in _spells(one, frame.end_s):
            x, x2 = frame.at(since, 0)[0], frame.at(until, 0)[0]
            _, colour = names.get(value, ("", COLOURS[number % len(COLOURS)]))
            yield (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{x2 - x:.1f}" height="{height - 1.5:.1f}" '
                f'fill="{colour}" fill-opacity="0.75"/>'
            )
    yield from _time(frame)
    words = [(text, colour) for text, colour in names.values()]
    yield from _keys(words, frame)
    if not series:
        yield _nothing(frame)


def _number(panel: Panel, series: Sequence[Series], frame: Frame) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    is_word = panel.get("options", {}).get("textMode") == "name"
    step = frame.height / max(1, len(series))
    for number, one in enumerate(series):
        value = one.points[-1][1]
        words = one.name if is_word else _said(value, defaults["unit"])
        y = frame.y + step * (number + 0.5) + 16
        middle = frame.x - LEFT + (frame.width + LEFT + RIGHT) / 2
        colour = NAMED["green"] if is_word and words == "ready" else _colour(value, defaults, is_word=is_word)
        yield f'<text class="big" style="fill: {colour}" x="{middle:g}" y="{y:g}">{escape(words)}</text>'
        if not is_word and len(series) > 1:
            yield _text(middle, y + 14, one.name, "middle")
    if not series:
        yield _nothing(frame)


def _bars(panel: Panel, series: Sequence[Series], frame: Frame) -> Iterator[str]:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    frame = Frame(frame.x + 78, frame.y, frame.width - 126, frame.height + 2 * LEGEND, frame.end_s)
    top = max(1e-9, *(one.points[-1][1] for one in series), 0.0)
    height = min(18.0, frame.height / max(1, len(series)))
    for number, one in enumerate(sorted(series, key=lambda one: -one.points[-1][1])):
        y, value = frame.y + number * height, max(0.0, one.points[-1][1])
        yield _text(frame.x - 4, y + height / 2 + 3, one.name, _name_kind(height))
        width = frame.width * value / top
        size = f'width="{width:.1f}" height="{height - 2:.1f}"'
        yield f'<rect x="{frame.x:g}" y="{y:.1f}" {size} fill="{NAMED["green"]}"/>'
        yield _text(frame.x + width + 4, y + height / 2 + 4, _said(value, unit), "")
    if not series:
        yield _nothing(frame)


_KINDS = {"timeseries": _lines, "state-timeline": _states, "stat": _number, "bargauge": _bars}


# ── parts of them ───────────────────────────────────────────────────────────────────────────────


def _name_kind(height: float) -> str:
    return "end" if height >= 11 else "end small"


def _stacked(series: Sequence[Series]) -> list[Series]:
    below: dict[float, float] = {}
    found = []
    for one in series:
        for second, value in one.points:
            below[second] = below.get(second, 0.0) + value
        found.append(Series(one.name, [(second, below[second]) for second, _ in one.points]))
    return found


def _time(frame: Frame) -> Iterator[str]:
    y = frame.y + frame.height + LEGEND
    for share in (0, 0.5, 1):
        x, _ = frame.at(share * frame.end_s, 0)
        kind = "" if share == 0 else "middle" if share < 1 else "end"
        yield _text(x, y, f"{share * frame.end_s / 60:g} min", kind)


def _legend(names: Sequence[str], frame: Frame) -> Iterator[str]:
    keys = [(name, COLOURS[number % len(COLOURS)]) for number, name in enumerate(names) if name]
    if len(keys) > MOST_IN_LEGEND:
        more = f"and {len(keys) - MOST_IN_LEGEND} more"
        keys = [*keys[:MOST_IN_LEGEND], (more, "none")]
    yield from _keys(keys, frame)


def _keys(keys: Sequence[tuple[str, str]], frame: Frame) -> Iterator[str]:
    x, y = frame.x - LEFT + 8, frame.y + frame.height + 2 * LEGEND
    for name, colour in keys:
        size = 22 + 5.7 * len(name)
        if x + size > frame.x + frame.width + RIGHT:
            return
        yield f'<rect x="{x:.1f}" y="{y - 8:g}" width="8" height="8" fill="{colour}"/>'
        yield _text(x + 11, y, name, "")
        x += size


def _nothing(frame: Frame) -> str:
    return _text(frame.x + frame.width / 2, frame.y + frame.height / 2, "nothing to show", "middle")


def _names(panel: Panel) -> dict[float, tuple[str, str]]:
    """Word and colour by value."""
    mappings = panel["fieldConfig"]["defaults"].get("mappings", [])
    return {
        float(value): (result["text"], NAMED[result["color"]])
        for mapping in mappings
        for value, result in mapping["options"].items()
    }


def _colour(value: float, defaults: Mapping[str, Any], *, is_word: bool) -> str:
    if is_word:
        return NAMED["orange"]
    steps = defaults["thresholds"]["steps"]
    passed = [step["color"] for step in steps if step.get("value") is None or value >= step["value"]]
    return NAMED[passed[-1]]


def _has_steps(defaults: Mapping[str, Any]) -> bool:
    style = defaults["custom"].get("thresholdsStyle", {}).get("mode", "off")
    return bool(style != "off")


def _spells(series: Series, end_s: float) -> list[tuple[float, float, float]]:
    """From when until when it had which value."""
    seconds = [second for second, _ in series.points]
    pace = min((later - one for one, later in itertools.pairwise(seconds)), default=end_s)
    found: list[tuple[float, float, float]] = []
    for second, value in series.points:
        until = min(second + pace, end_s)
        if found and found[-1][2] == value and second - found[-1][1] < pace:
            found[-1] = (found[-1][0], until, value)
        else:
            found.append((second, until, value))
    return found


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    magnitude: float = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 2, 5, 10) if value <= step * magnitude * 1.0001)


def _said(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB" if value >= 2**20 else f"{value / 2**10:.3g} KiB"
    if unit == "s" and value >= 120:
        return f"{value / 3600:.3g} h" if value >= 7200 else f"{value / 60:.3g} min"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:.3g}{'/s' if unit == 'ops' else ''}"


def _path(points: Sequence[Point]) -> str:
    """The points, without those that lie between two of the same height."""
    kept = [
        point
        for number, point in enumerate(points)
        if not 0 < number < len(points) - 1
        or not (points[number - 1][1] == point[1] == points[number + 1][1])
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
