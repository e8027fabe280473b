"""How much of the disk is left: a warning while there is time, and a refusal before the disk is full.

A disk that is full up to the last byte leaves no room for what makes room: sealing, merging, removing log. So new
documents are refused while there is still some. Both bounds have to be crossed for that, the share and the bytes:
5 % of a large disk is plenty, and on a small one a gigabyte may be all there is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.model.limits import DISK_FREE_BYTES_ENOUGH, DISK_FREE_SHARE_LOW, DISK_FREE_SHARE_MIN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.system.alarm import Alarm
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
"""A figure is used for so long before the disk is asked again."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes left and bytes in all at one moment; zeros when the disk did not say."""

    free_bytes: int
    total_bytes: int
    warning: str = ""
    """What to tell an operator; empty while there is enough."""
    refusal: str = ""
    """Why new documents are refused; empty while they are taken."""


class DiskSpace:
    """Watches the disk under a directory. May be asked from any thread, as often as anybody likes."""

    def __init__(self, filesystem: FileSystem, directory: Path, clock: Clock) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._clock = clock
        self.look_again_s = clock.monotonic_s() + INTERVAL_S
        """Until then `last` is what `room` returns: whoever asks very often looks at the clock first."""
        self._refusing, self._low = Alarm(_log, clock), Alarm(_log, clock)
        self.last = self._look()
        self._tell(self.last)

    def room(self) -> Room:
        """The room there is, measured at most INTERVAL_S ago."""
        now_s = self._clock.monotonic_s()
        if now_s >= self.look_again_s:
            self.look_again_s = now_s + INTERVAL_S
            self.last = self._look()
            self._tell(self.last)
        return self.last

    def _tell(self, room: Room) -> None:
        """A line in the log when documents begin to be refused, when that is over, and of the warning before."""
        if room.refusal:
            self._refusing.on(f"new documents are refused: {room.refusal}")
        else:
            if self._refusing.is_on:
                self._refusing.off("new documents are accepted again: there is room on the disk")
            if room.warning:
                self._low.on(room.warning, logging.WARNING)
            elif self._low.is_on:
                self._low.off("the disk has room again")

    def _look(self) -> Room:
        try:
            free, total = self._filesystem.free_bytes(self._directory)
        except OSError:
            # A disk that cannot even be asked shows it at the next write, with a better reason.
            return Room(0, 0)
        left = f"{_size(free)} of {_size(total)} free on the disk of {self._directory}"
        if free < total * DISK_FREE_SHARE_MIN and free < DISK_FREE_BYTES_ENOUGH:
            refusal = (
                f"disk space critically low (< {DISK_FREE_SHARE_MIN:.0%}): {left}. Free space or move the data "
                "directory to a larger disk; until then only deletes are accepted"
            )
            return Room(free, total, refusal, refusal)
        if free < total * DISK_FREE_SHARE_LOW:
            return Room(free, total, f"disk space low (< {DISK_FREE_SHARE_LOW:.0%}): {left}")
        return Room(free, total)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.1f} MiB"
