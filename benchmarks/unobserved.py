"""kyrodb_server with nothing counted: what benchmarks/observability.py compares with. Not for use.

Only the code that counts, times and logs calls is taken out; /metrics then says nothing true.
"""

from __future__ import annotations

import sys

from pykyro.cli.kyrodb_server import main
from pykyro.service.call_log import CallLog
from pykyro.telemetry.counters import Counters, Histogram, RecentLatencies

_COUNTING = (
    (
        Counters,
        ("call", "query", "query_failed", "search", "served", "inserts", "error", "tick"),
    ),
    (Histogram, ("observe",)),
    (RecentLatencies, ("record",)),
    (CallLog, ("ended",)),
)


def count_nothing() -> None:
    for owner, methods in _COUNTING:
        for method in methods:
            if not callable(getattr(owner, method, None)):
                raise SystemExit(f"{owner.__name__}.{method} is gone: say here what took its place")
            setattr(owner, method, lambda *arguments, **named: None)


if __name__ == "__main__":
    count_nothing()
    sys.exit(main([]))
