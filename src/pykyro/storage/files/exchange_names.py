"""renameat2(2) with RENAME_EXCHANGE, which Python does not offer: two names swapped, in one step."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def exchange_names(one: Path, other: Path) -> None:
    """Raises OSError; ENOSYS or EINVAL when the system or its file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if not hasattr(libc, "renameat2"):
        code = errno.ENOSYS
    elif libc.renameat2(*arguments) == 0:
        return
    else:
        code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), str(one), None, str(other))
