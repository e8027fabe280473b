"""Opening the database as the configuration says, and what happens when it cannot be opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pykyro.cli import kyrodb_server
from pykyro.config import Settings
from pykyro.database.opening import engine_options, open_database
from pykyro.engine.engine import Engine
from pykyro.engine.options import TierBudgets
from pykyro.model.errors import ConfigError, DataDamaged, DataDirMismatch, FailedPrecondition
from pykyro.model.requests import Put
from pykyro.model.types import Document, Metric
from pykyro.storage.wal.log import SyncPolicy

Open = Callable[..., Engine]


def settings_of(directory: Path, dimension: int = 4, **persistence: Any) -> Settings:
    return Settings.model_validate(
        {
            "hnsw": {"dimension": dimension},
            "persistence": {"data_dir": directory / "data", **persistence},
        }
    )


def put_one(directory: Path) -> None:
    engine = open_database(settings_of(directory))
    engine.write(Put(Document(1, np.ones(4, np.float32))))
    engine.close()


def documents(settings: Settings) -> int:
    engine = open_database(settings)
    count = engine.stats().documents
    engine.close()
    return count


def damage(directory: Path) -> None:
    put_one(directory)
    manifest = directory / "data" / "MANIFEST"
    content = bytearray(manifest.read_bytes())
    content[len(content) // 2] ^= 1
    manifest.write_bytes(content)


def test_what_was_written_is_there_again_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put_one(tmp_path)
    with caplog.at_level("INFO"):
        assert documents(settings_of(tmp_path)) == 1
    assert "created an empty database" not in caplog.text
    assert "recovered 1 documents" in caplog.text


def test_other_dimension_than_the_data_is_refused(tmp_path: Path) -> None:
    put_one(tmp_path)
    with pytest.raises(DataDirMismatch):
        open_database(settings_of(tmp_path, dimension=5))


def test_damage_stops_the_start_and_says_where(tmp_path: Path) -> None:
    damage(tmp_path)
    with pytest.raises(FailedPrecondition) as refused:
        open_database(settings_of(tmp_path))
    assert str(refused.value) == "Recovery failed and allow_fresh_start_on_recovery_failure=false (fail-fast)"
    assert isinstance(refused.value.__cause__, DataDamaged)
    assert "MANIFEST" in str(refused.value.__cause__)


def test_error_is_shown_with_its_causes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FailedPrecondition("recovery failed") from DataDamaged(
            "bad checksum", path="MANIFEST", offset=7
        )

    monkeypatch.setattr(kyrodb_server, "_serve", fail)
    assert kyrodb_server.main([]) == 1
    shown = capsys.readouterr().err
    assert shown == "Error: recovery failed\nCaused by: MANIFEST at byte 7: bad checksum\n"


def test_fresh_start_keeps_the_damaged_files_aside(tmp_path: Path) -> None:
    damage(tmp_path)
    assert documents(settings_of(tmp_path, allow_fresh_start_on_recovery_failure=True)) == 0
    (aside,) = tmp_path.glob("data_corrupt_*")
    assert (aside / "MANIFEST").is_file()


def test_start_without_recovery_is_refused_where_there_is_data(tmp_path: Path) -> None:
    without = settings_of(tmp_path, enable_recovery=False)
    assert documents(without) == 0
    with pytest.raises(ConfigError, match=r"persistence.enable_recovery = false, but .* holds data"):
        open_database(without)
    assert documents(settings_of(tmp_path)) == 0


def test_engine_is_opened_as_configured(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "hnsw": {
                "dimension": 8,
                "distance": "euclidean",
                "m": 20,
                "ef_construction": 300,
                "ef_search": 90,
                "max_elements": 77,
            },
            "cache": {"capacity": 500, "training_interval_secs": 40},
            "persistence": {
                "data_dir": tmp_path,
                "fsync_policy": "full",
                "wal_flush_interval_ms": 9,
                "max_wal_size_bytes": 12345,
                "snapshot_interval_mutations": 321,
            },
            "timeouts": {"cache_ms": 11, "hot_tier_ms": 51, "cold_tier_ms": 1001},
        }
    )
    options = engine_options(settings)
    assert (options.dimension, options.metric, options.documents_max) == (8, Metric.EUCLIDEAN, 77)
    assert (options.m, options.ef_construction, options.ef_search) == (20, 300, 90)
    assert (options.hot_rows_max, options.hot_age_max_s) == (500, 40.0)
    assert options.budgets == TierBudgets(cache_ms=11, hot_tier_ms=51, cold_tier_ms=1001)
    assert (options.sync, options.sync_interval_ms) == (SyncPolicy.FULL, 9)
    assert (options.wal_segment_bytes_max, options.mutations_per_checkpoint) == (12345, 321)
