"""Asks the server that has a data directory open to seal its hot tier, without a call or a key.

The server seals on SIGUSR1 (server/signals.py), and its MANIFEST says how far it got. A signal ends a program
that does not expect it, so it is sent only to a kyrodb_server that expects it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykyro.backup.source.source import capture, require_manifest
from pykyro.model.errors import FailedPrecondition, Unavailable
from pykyro.model.types import LSN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.lock import owner_of

WAIT_S: Final = 120.0
_LOOK_S: Final = 0.05
_NAMES: Final = frozenset({"kyrodb_server", "pykyro.cli.kyrodb_server"})


def seal_first(filesystem: FileSystem, data_dir: Path, wait_s: float = WAIT_S) -> LSN:
    """Return once segments hold everything the log holds now; the sealed position then.

    Raises FailedPrecondition when no server that can be asked has the directory open, Unavailable when it has not
    sealed within `wait_s` seconds, DataDamaged, OSError.
    """
    require_manifest(filesystem, data_dir)
    with _server_of(data_dir) as (pid, handle):
        wanted = capture(
            filesystem, data_dir, require_manifest(filesystem, data_dir).sealed_lsn
        ).log.last_write
        signal.pidfd_send_signal(handle, signal.SIGUSR1)
        deadline_s = time.monotonic() + wait_s
        while (sealed := require_manifest(filesystem, data_dir).sealed_lsn) < wanted:
            if owner_of(data_dir) != pid:
                raise Unavailable(
                    f"process {pid} closed {data_dir} when it had sealed up to position {sealed} of {wanted}. "
                    f"Without --seal the backup holds the log instead"
                )
            if time.monotonic() >= deadline_s:
                raise Unavailable(
                    f"process {pid} was asked to seal {data_dir} up to position {wanted} and has reached "
                    f"{sealed} after {wait_s:g} s. Its log gives the reason; --seal-wait-secs sets a longer "
                    f"time. Without --seal the backup holds the log instead"
                )
            time.sleep(_LOOK_S)
    return sealed


@contextlib.contextmanager
def _server_of(data_dir: Path) -> Iterator[tuple[int, int]]:
    """The pid of the server that has the directory open, and a descriptor of exactly that process."""
    pid = owner_of(data_dir)
    if not pid:
        raise FailedPrecondition(
            f"--seal needs a server that has {data_dir} open, and none is visible here. A database that was "
            f"stopped needs no seal, and a server in another container cannot be asked. Leave --seal out: the "
            f"backup then holds the log"
        )
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        raise FailedPrecondition(f"process {pid}, which had {data_dir} open, just ended") from None
    try:
        # With the descriptor open, what is true of the pid now stays true of the process that is signalled.
        if owner_of(data_dir) != pid or not _expects_the_signal(pid):
            raise FailedPrecondition(
                f"process {pid} has {data_dir} open, but it is not a kyrodb_server that seals on SIGUSR1, or it "
                f"is still starting. Leave --seal out: the backup then holds the log"
            )
        yield pid, handle
    finally:
        os.close(handle)


def _expects_the_signal(pid: int) -> bool:
    """Whether a process is a kyrodb_server that catches SIGUSR1; see proc_pid_status(5) for SigCgt."""
    process = Path("/proc") / str(pid)
    words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
    if _NAMES.isdisjoint(Path(word).name for word in words):
        return False
    for line in (process / "status").read_text("ascii", "replace").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return False
