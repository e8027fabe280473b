"""Directories that stores of this process have open: each is opened once, for all the stores that name it.

Programs of frameworks make one store to fill a collection and another to search it, often without closing the first;
a directory itself can be opened once only.
"""

from __future__ import annotations

import os
import threading
from os import PathLike
from typing import Any, Final, TypeAlias
from weakref import WeakSet, WeakValueDictionary

import pykyro

_Key: TypeAlias = tuple[int, str]
"""The process, since a forked child cannot use what its parent has open, and the directory."""


class _Opened:
    """A database and who uses it. Only the users refer to it, so without them it is gone."""

    def __init__(self, database: pykyro.Database) -> None:
        self.database: Final = database
        self.users: Final[WeakSet[SharedDirectory]] = WeakSet()


_directories: Final[WeakValueDictionary[_Key, _Opened]] = WeakValueDictionary()
_lock: Final = threading.Lock()


class SharedDirectory:
    """One user of a directory. The last one that is closed closes the database; one that nobody refers to any more
    counts as a user no longer."""

    def __init__(self, path: str | PathLike[str], **options: Any) -> None:
        """Opens the directory with these options of `pykyro.open`, or takes part in what is open, with those of the
        first. Raises what `pykyro.open` raises."""
        self._key: Final = (os.getpid(), os.path.realpath(path))
        with _lock:
            opened = _directories.get(self._key)
            if opened is None:
                opened = _directories[self._key] = _Opened(pykyro.open(path, **options))
            opened.users.add(self)
        self._opened: Final = opened

    @property
    def database(self) -> pykyro.Database:
        """The database of the directory."""
        return self._opened.database

    def close(self) -> None:
        """Use it no longer. Closing twice is allowed. Raises WriteFailed."""
        with _lock:  # whoever opens it next waits until it is closed
            self._opened.users.discard(self)
            if not self._opened.users:
                if _directories.get(self._key) is self._opened:
                    del _directories[self._key]
                self._opened.database.close()
