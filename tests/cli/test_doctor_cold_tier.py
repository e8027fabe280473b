"""A directory whose sealed documents are in PostgreSQL is whole, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, fill, vectors
from tests.engine.remote.opening import open_remote

from pykyro.cli.kyrodb import main
from pykyro.model.requests import Delete


def test_the_doctor_says_where_the_documents_are(
    tmp_path: Path, services: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_remote(tmp_path / "data", services)
    fill(engine, vectors(50))
    engine.flush()
    engine.write(Delete(3))
    engine.close()
    for path in (tmp_path / "data").glob("*.ids"):
        path.unlink()  # it is made anew
    config = tmp_path / "config.json"
    settings = {"hnsw": {"dimension": DIMENSION}, "persistence": {"data_dir": str(tmp_path / "data")}}
    config.write_text(json.dumps(settings))
    main(["doctor", "--format", "json", "--config", str(config)])
    found = [one for one in json.loads(capsys.readouterr().out) if one["topic"] == "data directory"]
    assert {one["severity"] for one in found} == {"ok"}
    assert "50 sealed documents are in the table kyrodb.rows_" in found[-1]["text"]
    config.write_text(json.dumps(settings | {"cold_tier": {"engine": "local"}}))
    assert main(["doctor", "--format", "json", "--config", str(config)]) == 1
    assert "its cold tier is postgres; the configuration says local" in capsys.readouterr().out
