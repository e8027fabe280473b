"""The machine under the server: disk, limits of the process, memory, huge pages, and whether the ports are free."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from pykyro.cli.diagnosis.finding import Finding, note, ok, wrong
from pykyro.config import Settings
from pykyro.config.settings.memory import memory_need
from pykyro.model.limits import MEMORY_SHARE_HIGH
from pykyro.server.preflight import cannot_listen, ports
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock
from pykyro.telemetry.process import ProcessProbe

_FILES_WANTED: Final = 4096
_INODES_WANTED: Final = 1000
_HUGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})


def check_disk(directory: Path) -> Iterator[Finding]:
    """Room and kind of the disk under `directory`, which need not exist yet."""
    existing = next(path for path in (directory, *directory.absolute().parents) if os.path.exists(path))
    room = DiskSpace(LocalFileSystem(), existing, SystemClock()).room()
    if room.refusal:
        yield wrong("disk", room.refusal, "free space, or move the data directory to a larger disk")
    elif room.warning:
        yield note("disk", room.warning, "free space before writes are refused, at 5 % and 1 GiB")
    else:
        yield ok("disk", f"{room.free_bytes / 2**30:.1f} GiB of {room.total_bytes / 2**30:.1f} GiB free")
    facts = os.statvfs(existing)
    if facts.f_files and facts.f_favail < _INODES_WANTED:
        yield wrong("disk", f"only {facts.f_favail} inodes are left", "remove files that are not needed")
    kind = _file_system_of(existing)
    if kind == "tmpfs":
        yield note("disk", f"{existing} is in memory (tmpfs)", "all data is lost when the machine stops")
    elif kind in _REMOTE:
        yield note(
            "disk",
            f"{existing} is on a network file system ({kind})",
            "locks and fsync are less reliable there; use a local disk",
        )


def _file_system_of(path: Path) -> str:
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    resolved = path.resolve()
    return next((mounts[above] for above in (resolved, *resolved.parents) if above in mounts), "")


def check_limits(pid: int | None) -> Iterator[Finding]:
    """Limits of the server with this pid, or those a server started from here would have."""
    who = f"process {pid}" if pid else "a server started from this shell"
    try:
        files, _ = resource.prlimit(pid or 0, resource.RLIMIT_NOFILE)
        size, _ = resource.prlimit(pid or 0, resource.RLIMIT_FSIZE)
    except (PermissionError, ProcessLookupError):
        yield note("limits", f"the limits of {who} cannot be read", "run this as its user")
        return
    healthy = True
    if files != resource.RLIM_INFINITY and files < _FILES_WANTED:
        healthy = False
        yield note(
            "limits",
            f"{who} may open {files} files; backups and many segments may need {_FILES_WANTED}",
            f"ulimit -n {_FILES_WANTED}, or LimitNOFILE= in the unit",
        )
    if size != resource.RLIM_INFINITY:
        healthy = False
        yield wrong(
            "limits",
            f"{who} may not write files beyond {size} bytes: the log would stop there",
            "ulimit -f unlimited, or LimitFSIZE=infinity in the unit",
        )
    if healthy:
        shown = "any number of" if files == resource.RLIM_INFINITY else str(files)
        yield ok("limits", f"{who} may open {shown} files and write files of any size")


def check_memory(settings: Settings, documents: int) -> Iterator[Finding]:
    """Whether a full database would fit into memory, and how the system gives memory out. Without a bound of
    documents, whether the `documents` of today would."""
    bound = settings.hnsw.max_elements
    wanted = documents if bound is None else bound
    limit = settings.memory.limit_bytes(ProcessProbe.memory_limit_bytes())
    needed = memory_need(settings, wanted)
    need = (
        f"{'' if bound is None else 'hnsw.max_elements = '}{wanted} documents need about "
        f"{needed.total_bytes / 2**20:.0f} MiB, {needed.graph_bytes / 2**20:.0f} of it for graphs"
    )
    have = f"{limit / 2**20:.0f} MiB may be used"
    if needed.total_bytes > MEMORY_SHARE_HIGH * limit:
        yield note(
            "memory",
            f"{need}, {have}",
            "lower hnsw.m or cache.capacity, set hnsw.max_elements lower, or raise memory.limit, which is 80 % of "
            "the memory there is unless it is set",
        )
    else:
        yield ok("memory", f"{need}, {have}")
    if _HUGE_PAGES.exists() and "[always]" in _HUGE_PAGES.read_text("ascii"):
        yield note(
            "memory",
            "transparent huge pages are on for every process: more memory may be in use than is needed",
            f"echo madvise > {_HUGE_PAGES}",
        )


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether a server that is not running yet could listen."""
    taken = False
    for key, host, port in ports(settings):
        error = cannot_listen(host, port)
        if error is not None:
            taken = True
            reason = error.strerror or error
            yield wrong(
                "ports",
                f"{key}: {host}:{port}: {reason}",
                "stop the program that listens there, or choose another port",
            )
    if not taken:
        server = settings.server
        yield ok("ports", f"{server.port} (gRPC) and {server.observability_port} (HTTP) are free")
