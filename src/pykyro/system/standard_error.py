"""Standard error that never keeps anybody waiting.

Libraries write to it from threads that serve (gRPC tells each TLS handshake that failed), and a pipe that nobody
reads takes 64 KiB. Beyond that what they write is dropped; the log proper goes through a queue of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from typing import Final

_STANDARD_ERROR: Final = 2
_SEND_US: Final = 10_000
"""A socket shared with others cannot be opened anew; writes to it wait so long."""


def never_wait() -> None:
    """From now on a write to standard error that would have to wait fails instead."""
    with contextlib.suppress(OSError):
        mode = os.fstat(_STANDARD_ERROR).st_mode
        if stat.S_ISSOCK(mode):
            _limit_sending()
        elif stat.S_ISFIFO(mode) or os.isatty(_STANDARD_ERROR):
            # Opened anew: whether writes wait is a matter of the opened file, which others hold too.
            path = f"/proc/self/fd/{_STANDARD_ERROR}"
            own = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                os.dup2(own, _STANDARD_ERROR)
            finally:
                os.close(own)


def _limit_sending() -> None:
    with socket.socket(fileno=os.dup(_STANDARD_ERROR)) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, _SEND_US))
