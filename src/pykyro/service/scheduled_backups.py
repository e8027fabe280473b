"""The scheduled backups as the service sees them: it reports them, and does not know how they are made."""

from __future__ import annotations

from typing import Protocol


class ScheduledBackups(Protocol):
    """Backups taken by themselves while the server serves; the attributes are for metrics and health."""

    made: int
    failures: int
    last_failure: str
    """Why the last one failed, "" after a success."""
    last_success_s: float
    """Unix time of the newest good backup; 0 when there is none."""
    last_size_bytes: int

    def start(self) -> None: ...

    def stop(self) -> None:
        """Returns when nothing of it runs any more."""
        ...
