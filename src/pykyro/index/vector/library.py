"""The vector library, loaded so that its teams of threads sleep while they wait.

By default they spin for about a millisecond after each call, on processors that other threads have use for. The
variable that says otherwise is read once, when the library's copy of libgomp is loaded, and is not left behind for
the libraries of whoever embeds this one.
"""

from __future__ import annotations

import os
from typing import Any, Final

_WAIT_POLICY: Final = "OMP_WAIT_POLICY"


def _loaded() -> Any:
    chosen = _WAIT_POLICY in os.environ
    os.environ.setdefault(_WAIT_POLICY, "passive")
    try:
        import faiss
    finally:
        if not chosen:
            del os.environ[_WAIT_POLICY]
    return faiss


faiss: Final = _loaded()
"""Untyped: its stubs do not say what it does."""

_forked = False


def team(threads: int) -> int:
    """How many threads a call of the library may use where `threads` are wanted. In a forked child only the caller's:
    libgomp would wait for the parent's team, which does not exist there."""
    return 1 if _forked else threads


def _forget_teams() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_forget_teams)
