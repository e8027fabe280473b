"""Directories that stores of this process have open: each is opened once, for all the stores that name it.

Programs of frameworks make one store to fill a collection and another to search it, often without closing the first;
a directory itself can be opened once only.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from os import PathLike
from typing import Final, TypeAlias

import pykyro

_Key: TypeAlias = tuple[int, str]
"""The process, since a forked child cannot use what its parent has open, and the directory."""


@dataclass(slots=True)
class _Open:
    database: pykyro.Database
    users: int


_directories: Final[dict[_Key, _Open]] = {}
_lock: Final = threading.RLock()


class SharedDirectory:
    """One user of a directory. The last one that is closed closes the database; one that nobody refers to any more
    counts as a user no longer."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Opens the directory, or takes part in what is open. Raises what `pykyro.open` raises."""
        key = (os.getpid(), os.path.realpath(path))
        with _lock:
            opened = _directories.get(key)
            if opened is None:
                opened = _directories[key] = _Open(pykyro.open(path), 0)
            opened.users += 1
            self.database: Final = opened.database
        self._key: Final = key
        self._leave: Final = weakref.finalize(self, _left, key)
        # At the end of the interpreter the database closes itself.
        self._leave.atexit = False

    def close(self) -> None:
        """Use it no longer. Closing twice is allowed. Raises WriteFailed."""
        with _lock:  # whoever opens it next waits until it is closed
            if self._leave.detach() is not None and _left(self._key):
                self.database.close()


def _left(key: _Key) -> bool:
    """One user less; whether it was the last."""
    with _lock:
        opened = _directories[key]
        opened.users -= 1
        if not opened.users:
            del _directories[key]
        return not opened.users
