"""The log alone, with nothing above it: small and fast, so every loss at every call can be tried.

The oracle is a list: the operations found must begin with all that were synced before they were acknowledged, and go
on with the first few of those that were accepted or under way.
"""

from __future__ import annotations

import random

from tests.crash.disk import loss_named
from tests.crash.fault_filesystem import Call, FaultFS
from tests.crash.rigs import every_loss, repeatable
from tests.crash.session import conditions
from tests.storage.opening import OpenLog, open_log, put

from pykyro.model.errors import Unavailable, WriteFailed
from pykyro.storage.wal.log import LogOptions


class LogSession:
    """A log on a faulty disk, and what must be in it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = FaultFS(seed=seed)
        interval_ms = self.rng.choice((0, 100))
        self.options = LogOptions(interval_ms=interval_ms, segment_bytes_max=self.rng.choice((700, 1 << 20)))
        self.synced: list[bytes] = []
        self.unsynced: list[bytes] = []
        self.opened: OpenLog | None = None
        self.serial = 0

    def step(self) -> None:
        opened = self.opened = self.opened or open_log(self.disk, options=self.options)
        match self.rng.choice(("append", "append", "append", "rotate", "sync", "kill", "close")):
            case "append":
                self._append(opened)
            case "rotate":
                opened.log.rotate()
                self._all_synced()
            case "sync":
                opened.log.sync()
                self._all_synced()
            case "kill":
                self.disk.kill_process()
                self.opened = None
            case "close":
                opened.close()
                self._all_synced()
                self.opened = None

    def judge(self, image: FaultFS) -> None:
        """Start on this disk twice: the same is found, and it is allowed."""
        found = open_log(image, options=self.options).contents
        everything = self.synced + self.unsynced
        assert found == everything[: len(found)], "what was found was not written, or not in this order"
        assert len(found) >= len(self.synced), (
            f"{len(self.synced) - len(found)} acknowledged operations are lost"
        )
        again = open_log(image.crash(loss_named("all-lost")), options=self.options).contents
        assert again == found, "recovering twice is not recovering once"

    def _append(self, opened: OpenLog) -> None:
        contents = []
        for _ in range(self.rng.choice((1, 1, 2, 4))):
            self.serial += 1
            contents.append(put(self.serial, text="0" * self.rng.choice((0, 0, 40, 700))))
        before = list(self.unsynced)
        self.unsynced += contents
        try:
            opened.log.append(contents)
        except (WriteFailed, Unavailable):
            self.unsynced = before
            raise
        if self.options.syncs_before_ack:
            self._all_synced()

    def _all_synced(self) -> None:
        self.synced += self.unsynced
        self.unsynced = []


def log_crash_points(seed: int, steps_count: int = 12) -> int:
    """Every loss before every call that changes the disk; the number of crashes."""
    session = LogSession(seed)
    count = 0

    def look(index: int, met: Call) -> None:
        nonlocal count
        for name in every_loss(session.disk):
            count += 1
            try:
                with conditions(seed, randomness=index):
                    session.judge(session.disk.crash(loss_named(name)))
            except Exception as error:
                raise AssertionError(f"call {index} ({met}), loss {name}: {error}") from error

    session.disk.before_change = look
    with repeatable("log", seed=seed, steps=steps_count, once=""), conditions(seed):
        for _ in range(steps_count):
            session.step()
    return count
