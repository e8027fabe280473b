"""Opening a file that the configuration names, so that what stands there cannot keep the server waiting.

Opening a FIFO waits for the other end, and reading a device may never come to an end. Only a regular file is opened,
and never more of it is read than there may be.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path | str, flags: int) -> int:
    """A descriptor of the regular file at `path`, made by os.open with `flags`. Never waits for another process.

    Raises OSError, whose strerror says what else it is.
    """
    try:
        _require_regular(os.stat(path), path)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    # What was looked at may have been replaced since.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    try:
        _require_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path | str, bytes_max: int) -> bytes:
    """The whole file. Raises OSError when it is none, cannot be read or is larger than `bytes_max`."""
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(errno.EFBIG, f"is larger than {bytes_max} bytes", str(path))
    return data


def _require_regular(facts: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        number = errno.EISDIR if stat.S_ISDIR(facts.st_mode) else errno.EINVAL
        raise OSError(number, f"is {kind}, not a regular file", str(path))
