"""One scheduled backup, in a process of its own at low priority: whatever happens to it, the server goes on.

    python -m pykyro.backup.scheduled_run create     back up, then prune
    python -m pykyro.backup.scheduled_run look       tell the newest backup there is

One request line on standard input, one report line on standard output, both JSON. When standard input ends the
server is gone, and so is this process; SIGTERM says that it is stopping. Either way the lock is released if there is
time for it; what else is left is removed by the next backup.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from pykyro.backup.collections import back_up_collections, prune_collections
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.backup.target.locate import open_target
from pykyro.model.errors import KyroError
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

_NICENESS: Final = 10
_LEAVE_S: Final = 5.0


class RunRequest(BaseModel):
    """`backup_dir` is a directory or a URL, see locate.open_target; `retention` None prunes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    backup_dir: str
    full_after_days: float
    retention: Retention | None


def encode_request(request: RunRequest) -> bytes:
    """The line that asks for it. Pydantic's own JSON has no place for names of directories that are no text."""
    return json.dumps(request.model_dump(mode="json")).encode() + b"\n"


class RunReport(BaseModel):
    """The backup that was made, the ids of the pruned ones, and texts for the operator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backup_id: str
    size_bytes: int
    documents: int
    pruned: list[str]
    warnings: list[str] = []


class LookReport(BaseModel):
    """When the newest backup that can be restored was made, microseconds of Unix time; None without any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    newest_us: int | None


def look(request: RunRequest) -> LookReport:
    """Raises the errors of `open_target`."""
    restorable = read_catalog(open_target(request.backup_dir)).restorable()
    return LookReport(newest_us=restorable[0].record.created_us if restorable else None)


def run(request: RunRequest) -> RunReport:
    """Back up, then prune. Raises the errors of `create_backup` and `prune_backups`."""
    target, clock = open_target(request.backup_dir), SystemClock()
    warnings: list[str] = []
    options = CreateOptions(
        incremental=True,
        full_after_days=request.full_after_days,
        description="scheduled by the server",
        warn=warnings.append,
    )
    entry = create_backup(LocalFileSystem(), request.data_dir, target, clock, options)
    back_up_collections(LocalFileSystem(), request.data_dir, request.backup_dir, clock, options, of=entry)
    pruned: list[str] = []
    if (retention := request.retention) is not None:
        pruned = prune_backups(target, retention, clock)
        pruned += prune_collections(
            target,
            request.backup_dir,
            pruned,
            lambda one: prune_backups(one, retention, clock),
            dry_run=False,
        )
    return RunReport(
        backup_id=entry.id,
        size_bytes=entry.size_bytes,
        documents=entry.record.documents,
        pruned=pruned,
        warnings=warnings,
    )


def _leave_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LEAVE_S)
    os._exit(1)


def _leave(number: int, frame: object) -> None:
    # Once: a second one must not break off what the first has begun to put in order.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


def main() -> int:
    os.nice(_NICENESS)
    signal.signal(signal.SIGTERM, _leave)
    try:
        request = RunRequest.model_validate(json.loads(sys.stdin.buffer.readline()))
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        report: RunReport | LookReport = look(request) if sys.argv[1] == "look" else run(request)
    except (KyroError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(report.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
