"""kyrodb doctor --memory: what a running server uses by part, and what configuration and data need."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, open_small, vectors
from tests.index.metadata.test_memory import catalogue, keys_of_their_own, long_texts
from tests.server.running import running_server

from pykyro.cli.diagnosis.memory import hot_metadata_bytes
from pykyro.cli.kyrodb import main
from pykyro.index.metadata.mutable_index import MutableMetadataIndex
from pykyro.model.requests import Put
from pykyro.model.types import Document
from pykyro.proto import kyrodb_pb2 as pb

MIB = 2**20


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KYRODB"):
            monkeypatch.delenv(name)


def examine(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict[str, str]]]:
    """The exit code and the findings."""
    code = main(["doctor", "--memory", "--format", "json", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


def texts(findings: list[dict[str, str]], topic: str) -> list[str]:
    return [finding["text"] for finding in findings if finding["topic"] == topic]


def mebibytes(text: str) -> float:
    """The size at the end of "part: 12.3 MiB"."""
    return float(text.rsplit(": ", 1)[1].removesuffix(" MiB"))


def write_config(directory: Path, *, port: int, http_port: int, limit: str) -> Path:
    config = directory / "config.json"
    sections = {
        "server": {"port": port, "http_port": http_port},
        "hnsw": {"dimension": DIMENSION},
        "memory": {"limit": limit},
        "persistence": {"data_dir": str(directory / "data")},
    }
    config.write_text(json.dumps(sections))
    return config


def test_a_running_server_by_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION, memory__limit="512MiB") as server:
        documents = (
            pb.InsertRequest(doc_id=at, embedding=[1.0] * DIMENSION, metadata={"text": f"{at}" * 500})
            for at in range(1, 201)
        )
        assert server.stub.BulkInsert(documents).success
        config = write_config(tmp_path, port=server.port, http_port=server.http_port, limit="512MiB")
        code, findings = examine(capsys, "--config", config)
    assert code == 0
    used = texts(findings, "memory used")
    assert "of 512 MiB (memory.limit)" in used[0]
    sizes = {text.split(": ")[0]: mebibytes(text) for text in used[1:]}
    assert sizes["program"] > 10
    assert sum(sizes.values()) == pytest.approx(float(used[0].split(" MiB")[0]), abs=0.6 * len(sizes))
    needed = texts(findings, "memory needed")
    assert "for 200 documents, of 512 MiB (memory.limit)" in needed[0]
    metadata = next(text for text in needed if text.startswith("metadata of the hot tier"))
    assert mebibytes(metadata) > 200 * 500 / MIB


def test_a_server_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_small(tmp_path / "data")
    engine.commit([Put(Document(at + 1, row, {"n": str(at)})) for at, row in enumerate(vectors(30))])
    engine.close()
    config = write_config(tmp_path, port=1, http_port=2, limit="128MiB")
    code, findings = examine(capsys, "--config", config)
    assert code == 0
    assert texts(findings, "memory used") == ["no server runs with this configuration"]
    # Even without documents the program takes most of so small a limit.
    (first,) = [one for one in findings if "for 30 documents" in one["text"]]
    assert first["severity"] == "note"
    assert "raise memory.limit" in first["advice"]


def test_damage_is_told_and_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MANIFEST").write_text("x")
    config = write_config(tmp_path, port=1, http_port=2, limit="512MiB")
    code, findings = examine(capsys, "--config", config)
    assert code == 1
    assert any("MANIFEST" in text for text in texts(findings, "data directory"))
    assert any(text.startswith("process: 100 MiB") for text in texts(findings, "memory needed"))


@pytest.mark.parametrize("documents", [keys_of_their_own, catalogue, long_texts])
def test_a_sample_stands_for_the_index_of_a_whole_hot_tier(documents: object) -> None:
    index, stored = MutableMetadataIndex(), []
    for row, metadata in enumerate(documents()):  # type: ignore[operator]
        index.add(row, metadata)
        stored.append(Document(row + 1, vectors(1)[0], metadata))
    sent = sum(len(key) + len(value) for one in stored for key, value in one.metadata.items())
    estimated = hot_metadata_bytes(stored[:: max(1, len(stored) // 128)], len(stored))
    assert estimated == pytest.approx(index.size_bytes + sent, rel=0.35)
