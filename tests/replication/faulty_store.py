"""An archive whose store fails when it is told to, or whose user dies at one of its calls."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pykyro.replication.objects import ArchiveStore

Answer = TypeVar("Answer")


class Killed(BaseException):
    """The process that asked is dead."""


class FaultyStore:
    """Implements pykyro.replication.objects.ArchiveStore. `plan(n, kind)` has the n-th call from now (from 0) fail:
    `kind` is error or kill, and ends with -after when the call takes effect and only its answer is lost."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store
        self.location = store.location
        self._left = -1
        self._kind = ""
        self.broken = False
        """Whether every call fails."""
        self.calls = 0
        self.struck = 0

    def plan(self, calls: int, kind: str) -> None:
        self._left, self._kind = calls, kind

    def heal(self) -> None:
        self._left = -1

    def create(self, name: str, data: bytes) -> None:
        self._call(lambda: self._store.create(name, data))

    def upload(self, name: str, path: Path) -> None:
        self._call(lambda: self._store.upload(name, path))

    def read(self, name: str) -> bytes:
        return self._call(lambda: self._store.read(name))

    def pieces(self, name: str) -> Iterable[bytes]:
        return self._call(lambda: self._store.pieces(name))

    def exists(self, name: str) -> bool:
        return self._call(lambda: self._store.exists(name))

    def names(self, prefix: str, after: str = "") -> list[str]:
        return self._call(lambda: self._store.names(prefix, after))

    def _call(self, work: Callable[[], Answer]) -> Answer:
        self.calls += 1
        strikes, self._left = self._left == 0, self._left - 1
        if self.broken or (strikes and not self._kind.endswith("-after")):
            self._fail()
        answer = work()
        if strikes:
            self._fail()
        return answer

    def _fail(self) -> None:
        self.struck += 1
        if not self.broken and self._kind.startswith("kill"):
            raise Killed
        raise OSError(errno.EIO, "the store does not answer", self.location)
