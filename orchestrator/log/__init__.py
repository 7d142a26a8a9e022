"""Logging: how events are rendered, where they go, and what is kept out of them.

Events of structlog and of the standard library go the same way: through a handler for the stream (and
one for the file), each with its own renderer, and through one `Redactor`.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import structlog
from pydantic import SecretStr
from structlog.processors import ExceptionRenderer, StackInfoRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.errors import SettingsError
from orchestrator.log import journal, last_words
from orchestrator.log.redactor import Redactor
from orchestrator.settings import LogSettings

MAX_FRAMES = 30

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}
_CONTROL_BUT_NEWLINE = {code: sign for code, sign in _CONTROL.items() if chr(code) != "\n"}
_LONG_KEYS = frozenset({"exception", "stack"})
_FIRST_KEYS = ("timestamp", "level", "logger", "event")


def configure(
    settings: LogSettings,
    stream: TextIO | None = None,
    *,
    secrets: Iterable[SecretStr] = (),
    environ: Mapping[str, str] | None = None,
    journal_socket: Path = journal.SOCKET,
) -> Redactor:
    """Set up logging for this process: to `stream` (default: standard error) and to the settings' file.

    A stream that is the journal's gives way to the journal's own socket, where there is one.

    Called again it replaces its own earlier set-up. The redactor that it returns can be told of further
    secrets. Raises SettingsError when the file can't be written.
    """
    stream = sys.stderr if stream is None else stream
    redactor = Redactor()
    for secret in secrets:
        redactor.hide(secret)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    environ = os.environ if environ is None else environ
    if not _is_journal(stream, environ):
        handlers = [_stream_handler(settings, stream, redactor, environ)]
    else:
        handlers = [_journal_handler(settings, stream, redactor, journal_socket)]
    if settings.file is not None:
        handlers.append(_file_handler(settings, settings.file, redactor))
    unconfigure()
    for handler in handlers:
        logging.root.addHandler(handler)
    logging.root.setLevel(level)
    logging.captureWarnings(True)
    last_words.take(redactor.clean, is_shown=stream is sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_common(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    return redactor


def unconfigure() -> None:
    """Undo `configure`: close and remove its handlers, and give structlog its defaults back."""
    for handler in list(logging.root.handlers):
        if isinstance(handler.formatter, _Formatter):
            logging.root.removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)
    last_words.give_back()
    structlog.reset_defaults()


class KeptLog:
    """The log of a daemon, which keeps every secret that it was told of hidden when it is set up anew."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._secrets: dict[SecretStr, None] = {}
        """In the order in which they became known. The same settings, read again, are no more of them."""
        self._redactor = Redactor()

    def configure(self, settings: LogSettings, secrets: Iterable[SecretStr]) -> None:
        """Set it up, with further secrets. Raises SettingsError when the file can't be written."""
        self._secrets.update(dict.fromkeys(secrets))
        self._redactor = configure(settings, self._stream, secrets=self._secrets)

    @property
    def secrets(self) -> list[SecretStr]:
        """What it keeps hidden."""
        return [*self._secrets]

    def hide(self, secret: SecretStr) -> None:
        """Keep a secret out of it from now on."""
        self._secrets[secret] = None
        self._redactor.hide(secret)

    def redact(self, text: str) -> str:
        """The text without the secrets that are known by now."""
        return self._redactor.clean(text)


# ── handlers and renderers ──────────────────────────────────────────────────────────────────────


class _Formatter(ProcessorFormatter):
    """The formatter of our own handlers, by which `unconfigure` knows them."""


def _stream_handler(
    settings: LogSettings, stream: TextIO, redactor: Redactor, environ: Mapping[str, str]
) -> logging.Handler:
    is_terminal = stream.isatty()
    is_console = settings.format == "console" or (settings.format == "auto" and is_terminal)
    if is_console:
        renderer = _console(redactor, is_coloured=is_terminal and "NO_COLOR" not in environ)
    else:
        renderer = _json(redactor)
    return _with_formatter(logging.StreamHandler(stream), [_timestamp(is_console), *renderer])


def _journal_handler(
    settings: LogSettings, stream: TextIO, redactor: Redactor, journal_socket: Path
) -> logging.Handler:
    """The journal keeps the time itself, and its fields have what a line for people lacks."""
    *cleaning, write = _json(redactor) if settings.format == "json" else _console(redactor, is_coloured=False)
    lines = _with_formatter(logging.StreamHandler(stream), [*_json(redactor), _add_priority])
    if not journal_socket.is_socket():
        return lines

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        shown = {key: value for key, value in event.items() if key != "level"}
        return journal.datagram(str(write(logger, method, shown)), event)

    return _with_formatter(journal.JournalHandler(journal_socket, lines), [*cleaning, render])


def _file_handler(settings: LogSettings, path: Path, redactor: Redactor) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    try:
        handler = RotatingFileHandler(
            path,
            maxBytes=settings.file_max_bytes,
            backupCount=settings.file_backups,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        raise SettingsError(f"log.file = '{path}': can't be written: {error.strerror}") from error
    return _with_formatter(handler, [_timestamp(False), *_json(redactor)])


def _with_formatter(handler: logging.Handler, renderer: list[Processor]) -> logging.Handler:
    handler.setFormatter(
        _Formatter(
            processors=[ProcessorFormatter.remove_processors_meta, *renderer],
            foreign_pre_chain=[*_common(), ExtraAdder()],
        )
    )
    return handler


def _common() -> list[Processor]:
    """What is added to every event, ours or the standard library's."""
    return [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, StackInfoRenderer()]


def _timestamp(is_console: bool) -> Processor:
    return TimeStamper("%H:%M:%S", utc=False) if is_console else TimeStamper("iso", utc=True)


def _json(redactor: Redactor) -> list[Processor]:
    # Without local variables: they are where secrets live.
    exceptions = ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=MAX_FRAMES))
    return [exceptions, redactor, _to_json]


def _console(redactor: Redactor, *, is_coloured: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=is_coloured, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    return [format_exc_info, redactor, _without_control_characters, renderer]


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in _FIRST_KEYS if key in event}
    return json.dumps({**first, **event})


def _add_priority(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """journald takes the level from this prefix (and strips it), so that `journalctl -p` works."""
    level: str = json.loads(line)["level"]
    return f"<{journal.PRIORITY.get(level, 6)}>{line}"


def _without_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A text from outside must not draw on the terminal, nor pass for a line of its own."""
    return {
        key: value.translate(_CONTROL if key not in _LONG_KEYS else _CONTROL_BUT_NEWLINE)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the journal's socket (see JOURNAL_STREAM in systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a real file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
