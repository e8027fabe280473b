"""Where log lines go and how they look, as logging.* in the configuration says.

One event is one line, whatever is in it: control characters are written as escapes, a traceback's line ends too.
A log that cannot be written costs lines, never a request; how many is a metric.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import sys
import threading
from collections.abc import Mapping
from typing import Final, TextIO

from kyrodb.config.observing import LoggingSettings
from kyrodb.observe.log_file import LogFile

LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

_log: Final = logging.getLogger(__name__)
_NAMES: Final = {logging.WARNING: "WARN"}
_FIELDS: Final = "kyrodb_fields"
_LINE_BREAKERS: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000))
_ESCAPES: Final = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _LINE_BREAKERS}


def fields(**values: object) -> dict[str, object]:
    """Pass it as `extra`: named values of an event, which JSON lines hold as keys and text lines as key=value."""
    return {_FIELDS: values}


def configure(settings: LoggingSettings) -> None:
    """Send everything logged to the place the settings name; may be called again after they changed.

    Raises OSError when the file cannot be opened; then everything stays as it was.
    """
    handler = _handler(settings)
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[settings.level])
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    for old in before:
        old.close()


def lost_lines() -> int:
    """Lines that could not be written since the process started."""
    return _lost[0]


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, record.levelname)
        line = f"{_time(record)} {level:<5} {record.name}: {record.getMessage()}"
        line += "".join(f" {name}={json.dumps(value)}" for name, value in _fields_of(record).items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line.translate(_ESCAPES)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "timestamp": _time(record),
            "level": _NAMES.get(record.levelno, record.levelname),
            "target": record.name,
            "message": record.getMessage(),
        }
        entry |= _fields_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class _Counting(logging.Handler):
    """Counts the lines that could not be written, where logging itself would print a traceback for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        _count_lost()


class _StandardOutput(_Counting, logging.StreamHandler[TextIO]):
    pass


class _File(_Counting, LogFile):
    pass


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.file is None:
        return _StandardOutput(sys.stdout)
    settings.file.parent.mkdir(parents=True, exist_ok=True)
    return _File(
        settings.file,
        bytes_max=settings.max_file_size_bytes if settings.rotation else None,
        files_max=settings.max_files,
    )


_lost: Final = [0]
_losing: Final = threading.Lock()


def _count_lost() -> None:
    with _losing:
        _lost[0] += 1
        first = _lost[0] == 1
    if first:
        # Standard error may lie on the same disk: whoever logs must not fail for it.
        with contextlib.suppress(OSError, ValueError):
            print(f"kyrodb: a log line could not be written: {sys.exc_info()[1]}", file=sys.stderr)


def _thread_died(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread is not None else "unknown"
    _log.critical("thread %s died", name, exc_info=died.exc_value)


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = record.__dict__.get(_FIELDS, {})
    return found


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
