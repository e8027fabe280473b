"""Imports: into a server and a directory, broken off and gone on with, and of files that are damaged or hostile."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.client.certificates import make_certificates
from tests.migration.databases import build, content, content_of, many
from tests.migration.importer import NEW, Importer, rows_file
from tests.migration.test_round_trip import FORMATS, export_from
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro.cli.kyrodb import main
from pykyro.migration.directory_documents import Selection
from pykyro.migration.export_record import Format
from pykyro.migration.importing import ImportProgress, default_path, write_progress
from pykyro.storage.files.filesystem import LocalFileSystem

# --- a server -------------------------------------------------------------------------------------


def url(server: RunningServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("kind", FORMATS)
def test_import_into_a_server(kind: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = many(2500)
    build(tmp_path / "old", wanted)
    export_from(tmp_path / "old", tmp_path / "out", kind, rows=1000)
    with running_server(tmp_path, hnsw__dimension=3, hnsw__distance="euclidean") as server:
        assert main(["import", "--in", str(tmp_path / "out"), "--url", url(server)]) == 0
        assert f"Imported 2500 documents into {url(server)}, 0 rows left out" in capsys.readouterr().out
        with pykyro.Client(url(server)) as client:
            found = client.get_many([1, 1300, 2500])
            assert [document.vector.tobytes() for document in found if document is not None] == [  # type: ignore[union-attr]
                wanted[at - 1].vector.tobytes() for at in (1, 1300, 2500)
            ]
    assert content(tmp_path / "data") == content_of(wanted)


def test_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    wanted = many(6000)
    build(tmp_path / "old", wanted)
    export_from(tmp_path / "old", tmp_path / "out", "jsonl", rows=700)
    progress = tmp_path / "progress.json"
    with running_server(tmp_path, hnsw__dimension=3, hnsw__distance="euclidean") as server:
        where = ["--in", str(tmp_path / "out"), "--url", url(server), "--progress", str(progress)]
        program = [sys.executable, "-c", _KILLED, "import", *where]
        assert subprocess.run(program).returncode == -signal.SIGKILL
        kept = json.loads(progress.read_text())
        assert 0 < kept["stored"] < 6000
        with pykyro.Client(url(server)) as client:
            before = client.stats().documents
            assert kept["stored"] < before < 6000
        ended = subprocess.run(
            [sys.executable, "-m", "pykyro.cli.kyrodb", "import", *where],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Imported 6000 documents" in ended.stdout
        inserted = float(server.http("/metrics").text.split("\nkyrodb_inserts_total ")[1].split()[0])
        # It did not begin anew: at most what was in doubt was sent twice.
        assert inserted <= 6000 + before - kept["stored"]
    assert not progress.exists()
    assert content(tmp_path / "data") == content_of(wanted)


_KILLED = """
import os, signal, sys
from pykyro.migration import importing
from pykyro.cli.kyrodb import main
importing._WRITE_DOWN_S = 0
advance = importing._Run._advance
def dies(run, *arguments):
    if run._options.progress.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    advance(run, *arguments)
importing._Run._advance = dies
sys.exit(main(sys.argv[1:]))
"""
"""The import, killed when its second group is stored and not yet written down."""


def test_tenant_moves_from_one_server_to_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [*many(30, tenant="acme"), *many(20, tenant="b", seed=1)]
    build(tmp_path / "old", wanted)
    export_from(tmp_path / "old", tmp_path / "all", "parquet")
    export_from(tmp_path / "old", tmp_path / "acme", "parquet", Selection("acme"))
    keys = write_keys(tmp_path / "keys.yaml", entry("zero"), entry("acme"), entry("b"))
    for name in ("acme", "b"):
        (tmp_path / f"{name}.key").write_text(key_of(name) + "\n")
    settings = {"auth__enabled": True, "auth__api_keys_file": keys, "hnsw__dimension": 3}
    with running_server(tmp_path, hnsw__distance="euclidean", **settings) as server:

        def run(source: str, key: str, *more: str) -> int:
            place = ["--url", url(server), "--api-key-file", str(tmp_path / f"{key}.key")]
            return main(["import", "--in", str(tmp_path / source), *place, *more])

        assert run("all", "acme") == 1
        assert "belongs to tenant acme" in capsys.readouterr().err
        default_path(tmp_path / "all").unlink(missing_ok=True)
        # The export of one tenant does not name it, and all of it is the key's.
        assert run("acme", "acme") == 0
        assert run("all", "b", "--tenant", "b") == 0
        assert "Imported 20 documents" in capsys.readouterr().out
        with pykyro.Client(url(server), api_key=key_of("b")) as client:
            found = client.get(20)
            assert found is not None
            assert found.metadata == dict(wanted[-1].metadata)
            assert client.get(21) is None
    assert content(tmp_path / "data") == content_of(wanted)


def test_import_over_mutual_tls(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with running_server(tmp_path, hnsw__dimension=3, **made.mutual_tls) as server:
        command = ["import", "--in", str(rows_file(tmp_path)), "--url", url(server), "--timeout-secs", "3"]
        assert main([*command, "--tls"]) == 1
        own = ["--cert", str(made.client), "--key", str(made.client_key)]
        assert main([*command, "--ca", str(made.ca), *own, "--server-name", "db.internal"]) == 0
    assert len(content(tmp_path / "data")) == 5


def test_server_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["import", "--in", str(rows_file(tmp_path)), "--url", "127.0.0.1:1", "--timeout-secs", "1"]) == 1
    )
    assert capsys.readouterr().err.startswith("Error: ")


# --- a directory ----------------------------------------------------------------------------------


def test_new_directory_must_be_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["import", "--in", str(rows_file(tmp_path)), "--data-dir", str(tmp_path / "new")]
    assert main(command) == 1
    assert "give --dimension and --distance" in capsys.readouterr().err
    assert main([*command, *NEW]) == 0
    assert main(command) == 0
    assert main([*command, "--dimension", "4"]) == 1
    assert "has dimension 3, the documents are of dimension 4" in capsys.readouterr().err
    assert len(content(tmp_path / "new")) == 5


def test_directory_that_a_server_has_is_refused_with_its_pid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_server(tmp_path, hnsw__dimension=3) as server:
        command = ["import", "--in", str(rows_file(tmp_path)), "--data-dir", str(tmp_path / "data")]
        assert main(command) == 1
        assert f"in use by process {server.process.pid}" in capsys.readouterr().err


def test_namespace_and_tenant_are_laid_over_rows(tmp_path: Path, importer: Importer) -> None:
    path = rows_file(tmp_path, '{"id": 1, "vector": [1, 2, 3], "namespace": "theirs"}')
    importer(path, "--namespace", "mine", "--tenant", "acme")
    assert content(importer.data)["acme", 1][2] == "mine"


def test_later_row_of_the_same_id_wins_in_whatever_namespace(tmp_path: Path) -> None:
    lines = [f'{{"id": {1 + at % 2}, "vector": [1, 2, {at}], "namespace": "n{at % 3}"}}' for at in range(12)]
    with running_server(tmp_path, hnsw__dimension=3, hnsw__distance="euclidean") as server:
        assert main(["import", "--in", str(rows_file(tmp_path, *lines)), "--url", url(server)]) == 0
    found = content(tmp_path / "data")
    assert {doc_id: (vector[-4:], namespace) for (_, doc_id), (vector, _, namespace) in found.items()} == {
        1: (np.float32(10).tobytes(), "n1"),
        2: (np.float32(11).tobytes(), "n2"),
    }


# --- what others have -----------------------------------------------------------------------------


def test_bare_vectors_count_from_the_first_id(tmp_path: Path, importer: Importer) -> None:
    for kind in (np.float64, np.float16, np.int8):
        np.save(tmp_path / "mine.npy", np.arange(9, dtype=kind).reshape(3, 3) + 1)
        assert "Imported 3 documents" in importer(tmp_path / "mine.npy", "--first-id", "7")
    found = content(importer.data)
    assert [doc_id for _, doc_id in found] == [7, 8, 9]
    assert found["", 8][0] == np.array([4, 5, 6], np.float32).tobytes()


def test_foreign_parquet_with_lists_structs_and_nulls(tmp_path: Path, importer: Importer) -> None:
    table = pa.table(
        {
            "other": ["x", "y"],
            "id": pa.array([3, 4], pa.int32()),
            "vector": pa.array([[1.5, 2, 3], [4, 5, 6]], pa.list_(pa.float64())),
            "metadata": [{"year": 2021, "lang": None}, {"year": 2020, "lang": "de"}],
        }
    )
    pq.write_table(table, tmp_path / "theirs.parquet")
    importer(tmp_path / "theirs.parquet")
    found = content(importer.data)
    assert [found["", 3][1], found["", 4][1]] == [
        {"year": ("i", "2021")},
        {"year": ("i", "2020"), "lang": ("t", "de")},
    ]


def test_directory_of_files_is_read_by_name(tmp_path: Path, importer: Importer) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "b.jsonl").write_text('{"id": 1, "vector": [9, 9, 9]}\n')
    (files / "a.jsonl").write_text('{"id": 1, "vector": [1, 1, 1]}\n')
    (files / "readme.txt").write_text("no rows")
    importer(files)
    assert content(importer.data)["", 1][0] == np.array([9, 9, 9], np.float32).tobytes()
    pq.write_table(pa.table({"id": [1]}), files / "c.parquet")
    assert "holds several formats; give --format" in importer.refused(files)
    assert "does not show the format" in importer.refused(files / "readme.txt")
    assert "does not exist" in importer.refused(files / "missing.jsonl")


# --- progress -------------------------------------------------------------------------------------


def test_progress_of_another_import_is_refused(tmp_path: Path, importer: Importer) -> None:
    path = rows_file(tmp_path)
    other = ImportProgress(input="other", destination="x", tenant=None, namespace=None, rows=3)
    write_progress(LocalFileSystem(), default_path(path), other)
    assert "the progress of another import, the files have changed since" in importer.refused(path)
    default_path(path).write_text("{}")
    assert "is not a progress file of an import" in importer.refused(path)
    assert "Imported 5 documents" in importer(path, "--progress", str(tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()


def test_many_bad_rows_are_counted_not_all_told(tmp_path: Path, importer: Importer) -> None:
    path = rows_file(tmp_path, *["x"] * 250, '{"id": 1, "vector": [1, 2, 3]}')
    assert "Imported 1 documents" in importer(path, "--skip-bad")
    assert importer.err.count("Warning: ") == 101
    assert "150 more rows were left out" in importer.err


@pytest.mark.parametrize("command", ["export", "import"])
def test_every_option_has_its_place_in_the_documentation(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "migration.md").read_text("utf-8")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) >= 7
    for option in options:
        assert f"`{option}" in page, option
