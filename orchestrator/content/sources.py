"""A folder of Markdown files, read as snippets of plain text.

    +++
    topic = "gardening"
    format = "tip"
    +++
    Water in the *early morning*.
    ---
    The next snippet.

Front matter is TOML between two lines +++; lines --- separate snippets.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.content import formats
from orchestrator.content.markdown import plain_text
from orchestrator.errors import ContentError

_FENCE = "+++"
_SEPARATOR = "---"
_KEYS = ("topic", "format", "tags")
_NAME = re.compile(r"\w[\w -]{0,63}")
_TAG = re.compile(r"#?\w{1,64}")

# Nobody writes posts into a file this large; it is something else by mistake.
_MAX_FILE_BYTES = 1024 * 1024

_TOML_PLACE = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")


@dataclass(frozen=True, slots=True)
class Snippet:
    """One text of a file, ready to be published."""

    text: str
    """Plain text with its hashtags on a last line of their own."""
    topic: str
    format: str
    source: str
    """The file's path inside the folder, and the snippet's line: "garden/roses.md:7"."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder holds at one moment. Broken files are problems and have no snippets."""

    snippets: tuple[Snippet, ...]
    problems: tuple[ContentError, ...]


# A file with the same stamp is taken to hold the same text: modified, changed (ns), size, inode.
_Stamp = tuple[int, int, int, int]
_Parsed = tuple[Snippet, ...] | ContentError


class MarkdownFolder:
    """Reads a folder and its subfolders on demand; parses again only what is new or changed.

    Hidden files and folders are left out, links to folders are not followed. The first read of
    thousands of files takes seconds and blocks; call `read` in a thread, one call at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[_Stamp, _Parsed]] = {}

    def read(self) -> Reading:
        """All snippets, ordered by file; never raises for what the folder or its files hold."""
        paths: list[Path] = []
        problems = list(_walk(self.folder, paths))
        known: dict[Path, tuple[_Stamp, _Parsed]] = {}
        for path in sorted(paths):
            try:
                known[path] = self._look(path)
            except OSError as error:
                problems.append(_unreadable(path, error))
        self._known = known
        parsed = [result for _, result in known.values()]
        problems += [result for result in parsed if isinstance(result, ContentError)]
        return Reading(
            tuple(snippet for result in parsed if isinstance(result, tuple) for snippet in result),
            tuple(problems),
        )

    def _look(self, path: Path) -> tuple[_Stamp, _Parsed]:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        known = self._known.get(path)
        return known if known is not None and known[0] == stamp else (stamp, self._parse(path))

    def _parse(self, path: Path) -> _Parsed:
        try:
            text = _decode(_read_bytes(path), str(path))
            return parse_snippets(text, name=path.relative_to(self.folder).as_posix(), shown=str(path))
        except ContentError as error:
            return error


def _walk(folder: Path, found: list[Path]) -> Iterator[ContentError]:
    """Add the Markdown files below `folder` to `found`; yields the folders that can't be read."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield _unreadable(folder, error)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), found)
        elif entry.name.endswith(".md") and not entry.is_dir():
            found.append(Path(entry.path))


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():  # opening a pipe would wait for a writer
        raise ContentError(f"{path}: is no ordinary file", remedy="Move it out of the content folder.")
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ContentError(
            f"{path}: the file is larger than {_MAX_FILE_BYTES} bytes",
            remedy="Split it, or move it out of the content folder.",
        )
    return content


def _unreadable(path: Path, error: OSError) -> ContentError:
    return ContentError(
        f"{path}: can't be read: {error.strerror or error}",
        remedy="Check that it exists and that the daemon's user may read it.",
    )


def _decode(content: bytes, shown: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _broken(shown, line, "is not UTF-8 text", "Save the file as UTF-8.") from error


def _broken(shown: str, line: int, reason: str, remedy: str = "") -> ContentError:
    return ContentError(f"{shown}, line {line}: {reason}", remedy=remedy)


# ── one file ────────────────────────────────────────────────────────────────────────────────────


def parse_snippets(text: str, *, name: str, shown: str) -> tuple[Snippet, ...]:
    """The snippets of one file's text. `name` goes into their source, `shown` into errors.

    Raises ContentError with file, line and reason.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    front, body_starts = _front_matter(lines, shown)
    topic = _name(front, "topic", shown)
    declared = _name(front, "format", shown) if "format" in front.values else None
    hashtags = " ".join(_tags(front, topic, shown))
    snippets = tuple(
        Snippet(
            text=f"{plain}\n{hashtags}" if hashtags else plain,
            topic=topic,
            format=declared or formats.recognise(plain),
            source=f"{name}:{line}",
        )
        for line, plain in _plain_parts(lines, body_starts)
    )
    if not snippets:
        raise _broken(shown, len(lines), "there is no text below the front matter", "Write a snippet.")
    return snippets


@dataclass(frozen=True, slots=True)
class _FrontMatter:
    values: dict[str, Any]
    lines: list[str]

    def line_of(self, key: str) -> int:
        """The line in the file where `key` is set; the first line when it can't be found."""
        pattern = re.compile(rf"""\s*["'\[]?{re.escape(key)}["'\]]?\s*[=.]?""")
        return next((at for at, line in enumerate(self.lines, start=2) if pattern.match(line)), 1)


def _front_matter(lines: list[str], shown: str) -> tuple[_FrontMatter, int]:
    """The front matter, and the index of the first line below it."""
    if not lines or lines[0].rstrip() != _FENCE:
        raise _broken(shown, 1, "the file must start with a line +++", 'Begin it with +++, topic = "…", +++.')
    end = next((at for at, line in enumerate(lines[1:], start=1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise _broken(shown, len(lines), "the front matter has no closing line +++")
    front = _FrontMatter(_load_toml(lines[1:end], shown), lines[1:end])
    for key in front.values:
        if key not in _KEYS:
            reason = f"unknown key {key!r}"
            raise _broken(shown, front.line_of(key), reason, f"Allowed are {', '.join(_KEYS)}.")
    return front, end + 1


def _load_toml(lines: list[str], shown: str) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1]) + 1 if place is not None and place[1] else len(lines) + 1
        reason = _TOML_PLACE.sub("", str(error))
        raise _broken(shown, line, f"the front matter is not TOML: {reason}") from error


def _name(front: _FrontMatter, key: str, shown: str) -> str:
    value = front.values.get(key)
    if value is None:
        raise _broken(shown, 1, f"the front matter has no {key}", f'Add {key} = "…".')
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        reason = f"{key} must be a short text of letters, digits, spaces, - and _, not {value!r}"
        raise _broken(shown, front.line_of(key), reason)
    return value.strip().lower()


def _tags(front: _FrontMatter, topic: str, shown: str) -> list[str]:
    tags = front.values.get("tags", [re.sub(r"\W", "", topic)])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags):
        reason = f"tags must be a list of single words, not {tags!r}"
        raise _broken(shown, front.line_of("tags"), reason)
    return ["#" + tag.removeprefix("#") for tag in tags]


def _plain_parts(lines: list[str], start: int) -> Iterator[tuple[int, str]]:
    """Each part between separators that holds text, with the line where its text starts."""
    part: list[str] = []
    for at, line in enumerate([*lines[start:], _SEPARATOR], start=start):
        if line.rstrip() != _SEPARATOR:
            part.append(line)
            continue
        plain = plain_text("\n".join(part))
        if plain:
            blank = next(index for index, text in enumerate(part) if text.strip())
            yield at - len(part) + blank + 1, plain
        part = []
