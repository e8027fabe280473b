"""How much of the log stays behind the sealed position.

The segments hold everything up to there, so recovery never reads those WAL segments again. They are what a backup
needs for a restore to any instant: one that was taken before can be rolled forward through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pykyro.model.limits import DISK_FREE_SHARE_LOW, WAL_SEGMENTS_RETAINED_MAX
from pykyro.model.types import LSN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import WalEntry


def kept_wal(entries: Sequence[WalEntry], sealed_lsn: LSN, retained_bytes_max: int) -> tuple[WalEntry, ...]:
    """What MANIFEST goes on naming once `sealed_lsn` is sealed, in order.

    That is all that recovery needs, and before it the newest closed segments whose lengths together stay within
    `retained_bytes_max` bytes, without a gap among them.
    """
    kept = [entry for entry in entries if not is_sealed(entry, sealed_lsn)]
    budget = retained_bytes_max
    for entry in reversed([entry for entry in entries if is_sealed(entry, sealed_lsn)]):
        budget -= entry.end_offset or 0
        if budget < 0 or len(kept) >= WAL_SEGMENTS_RETAINED_MAX:
            break
        kept.insert(0, entry)
    return tuple(kept)


def retained_bytes_max(
    filesystem: FileSystem, directory: Path, entries: Sequence[WalEntry], sealed_lsn: LSN, wanted_bytes: int
) -> int:
    """`wanted_bytes`, or less when the disk under `directory` is short of free space, which then matters more than
    history. Raises OSError."""
    free, total = filesystem.free_bytes(directory)
    missing = int(total * DISK_FREE_SHARE_LOW) - free
    if missing <= 0:
        return wanted_bytes
    retained = sum(entry.end_offset or 0 for entry in entries if is_sealed(entry, sealed_lsn))
    return max(0, min(wanted_bytes, retained - missing))


def is_sealed(entry: WalEntry, sealed_lsn: LSN) -> bool:
    """Whether recovery can do without this WAL segment."""
    return entry.last_lsn is not None and entry.last_lsn <= sealed_lsn
