"""Engines whose cold tier is in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.opening import open_small

from pykyro.engine.engine import Engine
from pykyro.engine.options import RemoteOptions
from pykyro.model.cold_tier import ColdTier

POSTGRES = ColdTier("postgres", "kyrodb")


def open_remote(
    path: Path, services: Path, *, remote: dict[str, Any] | None = None, **options: Any
) -> Engine:
    """An engine that does nothing by itself."""
    chosen = RemoteOptions(services_file=services, **(remote or {}))
    return open_small(path, cold_tier=POSTGRES, remote=chosen, **({"ef_construction": 40} | options))
