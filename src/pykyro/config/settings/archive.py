"""Keys of the archive and of followers."""

from __future__ import annotations

from typing import Annotated, Literal

from pykyro.config.settings.declare import LOWERCASE, Integer, Place, Section, key
from pykyro.model import limits


class ArchiveSettings(Section):
    """A copy of the database elsewhere that is never far behind, and what serves it: see docs/scaling.md."""

    url: Place | None = key(
        None,
        "Where this server ships its log and its segments, an archive of its own that no other leader writes to: "
        "s3://bucket/prefix, gs://, az:// (with the cloud extra), or file:///directory. null ships nothing.",
        example="s3://bucket/archive",
    )
    max_lag_ms: Integer = key(
        1000,
        "Time after which an acknowledged write is in the archive, while the store takes it. Half of it passes "
        "between two commits.",
        unit="ms",
        ge=limits.ARCHIVE_LAG_MS_MIN,
        le=limits.DURATION_MAX,
    )
    acknowledge: Annotated[Literal["local", "shipped"], LOWERCASE] = key(
        "local",
        "When a write is acknowledged: once it is on the disk of this machine, or once it is in the archive as well. "
        "shipped loses nothing with the machine, and each write waits for the store.",
    )
    follow: Place | None = key(
        None,
        "Serve what this archive holds, and take no writes. The command line says --follow URL. A directory that was "
        "made the leader by kyrodb promote leads this archive instead.",
        example="s3://bucket/archive",
    )
