"""Threads that take turns often.

A thread that only computes gives way after sys.getswitchinterval(), 5 ms; a call that goes through several threads
waits so long at each of them, and meets the others at few places.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def frequent_switches(interval_s: float = 1e-4) -> Iterator[None]:
    """Inside, a thread that computes gives way after `interval_s`."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
