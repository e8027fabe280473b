"""How long a test waits for what must come.

It is a bound on hanging, never a statement about speed: a machine that is busy with other things may take very long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 120.0


def wait_until(happened: Callable[[], object], what: str = "what the test waits for") -> None:
    """Return when `happened()` is true; fail when it never becomes so."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)
