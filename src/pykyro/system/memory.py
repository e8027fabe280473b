"""Memory as the operating system counts it: what may be used, what is used, giving it back."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")
_OWN_PAGES: Final = "/proc/self/statm"
_PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")
_LIMIT_FILES_V2: Final = ("memory.max", "memory.high")
"""Beyond the first a process is killed; beyond the second it is slowed down until it stands still."""
_LIMIT_FILES_V1: Final = ("memory.limit_in_bytes",)


def allowed_bytes() -> int:
    """Memory this process may use before the system ends it: the least limit of the control groups it is in, or all
    the memory of the machine."""
    return min([psutil.virtual_memory().total, *cgroup_limits()])


def cgroup_limits(own: Path = _OWN_CGROUPS, mounted: Path = _CGROUPS) -> Iterator[int]:
    """The limits in bytes of every control group this process is in, versions 1 and 2, and of the groups around them.

    `own` lists the groups as /proc/self/cgroup does, `mounted` is where they are mounted. In a container the list may
    name a group that is not visible there; what is mounted is then the container's own.
    """
    try:
        lines = own.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for root in (mounted, mounted / "unified"):
                yield from _limits_up(root, path, _LIMIT_FILES_V2)
        elif "memory" in controllers.split(","):
            yield from _limits_up(mounted / "memory", path, _LIMIT_FILES_V1)


def _limits_up(root: Path, path: str, names: tuple[str, ...]) -> Iterator[int]:
    """What the group at `path` below `root` and each group above it allow."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(parts), -1, -1):
        for name in names:
            try:
                text = root.joinpath(*parts[:depth], name).read_text("ascii").strip()
            except (OSError, ValueError):
                continue
            if text.isdigit():
                yield int(text)


def anonymous_bytes() -> int:
    """Resident memory that only ending the process gives back: without mapped files, which the system can drop.

    About 10 us. On a system without /proc it is the whole resident memory.
    """
    try:
        with open(_OWN_PAGES, "rb", buffering=0) as file:
            _, resident, shared, *_ = file.read(256).split()
    except OSError:
        return int(psutil.Process().memory_info().rss)
    return max(0, int(resident) - int(shared)) * _PAGE_BYTES


def give_memory_back() -> None:
    """Return freed memory that the allocator keeps to the system. Takes milliseconds for each GiB it holds."""
    # malloc_trim(3) is of glibc; elsewhere freed memory goes back by itself, or stays.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
