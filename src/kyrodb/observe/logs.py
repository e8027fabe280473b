"""Where log lines go and how they look, as logging.* in the configuration says."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import Final

from kyrodb.config.observing import LoggingSettings

LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

_NAMES: Final = {logging.WARNING: "WARN"}


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, record.levelname)
        line = f"{_time(record)} {level:<5} {record.name}: {record.getMessage()}"
        return line + "\n" + self.formatException(record.exc_info) if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "timestamp": _time(record),
            "level": _NAMES.get(record.levelno, record.levelname),
            "target": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


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
    for old in before:
        old.close()


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.file is None:
        return logging.StreamHandler(sys.stdout)
    settings.file.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(
        settings.file,
        maxBytes=settings.max_file_size_bytes if settings.rotation else 0,
        backupCount=settings.max_files - 1,
        encoding="utf-8",
    )


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
