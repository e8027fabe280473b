"""Where log lines go and how they look, as logging.* in the configuration says.

One event is one line, whatever is in it: control characters are written as escapes, a traceback's line ends too.
A log that cannot be written costs lines, never a request, nor time (`log_queue`); how many is a metric.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import select
import threading
from collections.abc import Mapping
from typing import Final

from pykyro.config.settings.observability import LoggingSettings
from pykyro.model.errors import ConfigError
from pykyro.model.limits import LOG_FLUSH_S_MAX
from pykyro.telemetry.log_file import Destination, Stream, opened
from pykyro.telemetry.log_queue import LogQueue

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
_STANDARD_OUTPUT: Final = 1
_LINE_BREAKERS: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000))
_ESCAPES: Final = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _LINE_BREAKERS}


def fields(**values: object) -> dict[str, object]:
    """Pass it as `extra`: named values of an event, which JSON lines hold as keys and text lines as key=value."""
    return {_FIELDS: values}


def configure(settings: LoggingSettings) -> None:
    """Send everything logged to the place the settings name; may be called again after they changed.

    Raises ConfigError when the file cannot be opened; then everything stays as it was.
    """
    install(settings, destination(settings))


def destination(settings: LoggingSettings) -> Destination:
    """The place the settings name, opened anew. Raises ConfigError."""
    if settings.file is None:
        return Stream(_STANDARD_OUTPUT)
    try:
        settings.file.parent.mkdir(parents=True, exist_ok=True)
        return opened(
            settings.file,
            bytes_max=settings.max_file_size_bytes if settings.rotation else None,
            files_max=settings.max_files,
        )
    except OSError as error:
        raise ConfigError(f"logging.file = {settings.file}: {error.strerror or error}") from None


def install(settings: LoggingSettings, place: Destination) -> None:
    """Send everything logged to `place`. Waits for nothing."""
    root = logging.getLogger()
    before = root.handlers[:]
    queues = [old.queue for old in before if isinstance(old, _Queued)]
    # Lines that wait for a stream stay in front of those that come.
    kept = next((queue for queue in queues if queue.destination == place), None)
    handler = _Queued(kept or LogQueue(place, _count_lost))
    handler.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[settings.level])
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    for old in before:
        if not isinstance(old, _Queued) or old.queue is not kept:
            old.close()


def flush(within_s: float = LOG_FLUSH_S_MAX) -> None:
    """Give the lines that wait so long to be written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Queued):
            handler.queue.flush(within_s)


def lost_lines() -> int:
    """Lines that could not be written since the process started."""
    return _lost[0]


def fault() -> str:
    """What keeps lines from being written now, "" when nothing does."""
    faults = (h.queue.fault for h in logging.getLogger().handlers if isinstance(h, _Queued))
    return next(filter(None, faults), "")


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


class _Queued(logging.Handler):
    """Makes lines where they are logged, and leaves writing them to the queue's thread."""

    def __init__(self, queue: LogQueue) -> None:
        super().__init__()
        self.queue = queue
        queue.notice = self._notice

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put(self._line(record))
        except Exception as error:
            _count_lost(1, str(error))

    def flush(self) -> None:
        """What logging calls at the end of the process."""
        self.queue.flush(LOG_FLUSH_S_MAX)

    def close(self) -> None:
        self.queue.close_soon()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"

    def _notice(self, lost: int, why: str) -> bytes:
        text = "%d log lines are missing here: %s"
        return self._line(logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lost, why), None))


_lost: Final = [0]
_losing: Final = threading.RLock()


def _count_lost(count: int, why: str) -> None:
    with _losing:
        first = _lost[0] == 0
        _lost[0] += count
    if first:
        _say(f"kyrodb: a log line could not be written: {why}\n")


def _say(text: str) -> None:
    """To standard error, when that takes it at once."""
    waiting = select.poll()
    waiting.register(2, select.POLLOUT)
    try:
        if waiting.poll(0):
            os.write(2, text.encode("ascii", "backslashreplace")[: select.PIPE_BUF])
    except OSError:
        return


def _thread_died(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread is not None else "unknown"
    _log.critical("thread %s died", name, exc_info=died.exc_value)


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = record.__dict__.get(_FIELDS, {})
    return found


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
