"""How long to wait before something that failed is tried again."""

from __future__ import annotations


def pause_s(failures: int, first_s: float, most_s: float) -> float:
    """Seconds after so many failures in a row, 1 or more: `first_s`, then twice as long each time, up to `most_s`."""
    return min(most_s, first_s * 2.0 ** min(failures - 1, 10))
