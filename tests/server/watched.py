"""The memory of a server, watched while something happens to it."""

from __future__ import annotations

import contextlib
import threading

import psutil
from tests.server.running import RunningServer


class Watched:
    """The largest resident memory of a process since it is watched."""

    def __init__(self, server: RunningServer) -> None:
        self._process = psutil.Process(server.process.pid)
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005) and self._process.is_running():
            with contextlib.suppress(psutil.NoSuchProcess):  # it was stopped
                info = self._process.memory_info()
                self.most = max(self.most, info.rss - info.shared)
