"""One scheduled backup, in a process of its own at low priority: whatever happens to it, the server goes on.

One request line on standard input, one report line on standard output, both JSON. When standard input ends the
server is gone or stopping, and so is this process; what it leaves is removed by the next backup.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kyrodb.backup.create import CreateOptions, create_backup
from kyrodb.backup.prune import prune_backups
from kyrodb.backup.retention import Retention
from kyrodb.backup.target import DirectoryTarget
from kyrodb.clock import SystemClock
from kyrodb.errors import KyroError
from kyrodb.storage.filesystem import LocalFileSystem

_NICENESS = 10


class RunRequest(BaseModel):
    """`retention` None prunes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    backup_dir: Path
    full_after_days: float
    retention: Retention | None


class RunReport(BaseModel):
    """The backup that was made, and the ids of those that were pruned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backup_id: str
    size_bytes: int
    documents: int
    pruned: list[str]


def run(request: RunRequest) -> RunReport:
    """Back up, then prune. Raises what `create_backup` and `prune_backups` raise."""
    target, clock = DirectoryTarget(LocalFileSystem(), request.backup_dir), SystemClock()
    options = CreateOptions(
        incremental=True, full_after_days=request.full_after_days, description="scheduled by the server"
    )
    entry = create_backup(LocalFileSystem(), request.data_dir, target, clock, options)
    pruned = prune_backups(target, request.retention, clock) if request.retention is not None else []
    return RunReport(
        backup_id=entry.id, size_bytes=entry.size_bytes, documents=entry.record.documents, pruned=pruned
    )


def _leave_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> int:
    os.nice(_NICENESS)
    try:
        request = RunRequest.model_validate_json(sys.stdin.buffer.readline())
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        report = run(request)
    except (KyroError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(report.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
