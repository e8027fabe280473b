"""The command line of kyrodb_server."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pykyro.cli.kyrodb_server import main
from pykyro.config import Overrides, Settings, load_settings
from pykyro.version import __version__


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"kyrodb_server {__version__}\n"


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    for flag in (
        "-c",
        "--config",
        "-p",
        "--port",
        "-d",
        "--data-dir",
        "--dimension",
        "--distance",
        "--check-config",
        "--generate-config",
        "-V",
        "--version",
    ):
        assert flag in shown


@pytest.mark.parametrize("format", ["yaml", "YML"])
def test_generated_yaml_is_yaml(capsys: pytest.CaptureFixture[str], format: str) -> None:
    assert main(["--generate-config", format]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["server"]["port"] == 50051


def test_generated_toml_is_toml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--generate-config", "toml"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["server"]["port"] == 50051


def test_other_format_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--generate-config", "ini"]) == 1
    assert capsys.readouterr().err == "Error: Invalid format 'ini'. Use 'yaml' or 'toml'.\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--port", "0"], ["--port", "65536"], ["--port", "x"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "usage: kyrodb_server" in capsys.readouterr().err


def test_configuration_that_does_not_exist_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.yaml"
    assert main(["--config", str(missing)]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: ")
    assert str(missing) in shown


def test_every_fault_of_a_configuration_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("hnsw: {dimension: 0}\ncache: {capacity: 0}\n")
    assert main(["--config", str(config)]) == 1
    shown = capsys.readouterr().err
    assert "hnsw.dimension" in shown
    assert "cache.capacity" in shown


def test_a_configuration_is_checked_without_serving(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("hnsw: {dimension: 8}")
    bad.write_text("hnsw: {m: 1, bogus: 2}")
    assert main(["--check-config", "--config", str(good)]) == 0
    assert f"The configuration is valid: {good}" in capsys.readouterr().out
    assert main(["--check-config", "--config", str(bad)]) == 1
    shown = capsys.readouterr().err
    assert "hnsw.m" in shown
    assert "hnsw.bogus" in shown


BACKUPS = "backup: {{interval_secs: 60, dir: '{}'}}\n"


@pytest.mark.parametrize(
    "place",
    [
        "s3://bucket",
        "s3://bucket/a/prefix",
        "gs://bucket/p",
        "az://container/p",
        "backups",
        "file:///var/backups",
    ],
)
def test_places_for_backups_that_are_good(place: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(BACKUPS.format(place))
    assert main(["--check-config", "--config", str(config)]) == 0


@pytest.mark.parametrize("place", ["http://host/x", "s3://", "s3:///prefix", "s3://b/p?x=1", "s3://b#x", " "])
def test_places_for_backups_that_are_none(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(BACKUPS.format(place))
    assert main(["--check-config", "--config", str(config)]) == 1
    assert "s3://bucket/prefix" in capsys.readouterr().err


def test_object_store_without_the_extra_is_told_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    config = tmp_path / "config.yaml"
    config.write_text(BACKUPS.format("s3://bucket/prefix"))
    for arguments in (["--check-config"], ["--data-dir", str(tmp_path / "data")]):
        assert main([*arguments, "--config", str(config)]) == 1
        assert "backup.dir = s3://bucket/prefix needs the cloud extra" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_check_tells_what_a_start_would_meet_a_line_each_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    config = tmp_path / "config.json"
    tls = {"enabled": True, "cert_path": "gone.pem", "key_path": "gone.key"}
    auth = {"enabled": True, "api_keys_file": "gone.yaml"}
    persistence = {"data_dir": str(tmp_path / "file")}
    config.write_text(json.dumps({"server": {"tls": tls}, "auth": auth, "persistence": persistence}))
    assert main(["--check-config", "--config", str(config)]) == 1
    lines = capsys.readouterr().err.removeprefix("Error: ").splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines if not line.startswith("Note")] == [
        "auth.api_keys_file",
        "server.tls.cert_path",
        "server.tls.key_path",
        "persistence.data_dir",
    ]


def test_what_was_generated_is_valid_and_warns_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for format in ("yaml", "toml"):
        assert main(["--generate-config", format]) == 0
        config = tmp_path / f"config.{format}"
        config.write_text(capsys.readouterr().out)
        loaded = load_settings(config, {})
        assert (loaded.settings, loaded.warnings, loaded.compatibility_keys) == (Settings(), (), ())


def test_dimension_and_distance_are_flags_and_win(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("hnsw: {dimension: 8, distance: cosine}")
    arguments = ["--config", str(config), "--data-dir", str(tmp_path / "data"), "--check-config"]
    assert main([*arguments, "--dimension", "3", "--distance", "euclidean"]) == 0
    loaded = load_settings(
        config, {"KYRODB__HNSW__DIMENSION": "5"}, Overrides(dimension=3, distance="euclidean")
    )
    assert (loaded.settings.hnsw.dimension, loaded.settings.hnsw.distance) == (3, "euclidean")
    for wrong in (["--dimension", "0"], ["--dimension", "4097"], ["--distance", "hamming"]):
        with pytest.raises(SystemExit) as exit:
            main([*arguments, *wrong])
        assert exit.value.code == 2


def test_a_reload_that_is_asked_for_too_early_is_ignored() -> None:
    """Signals are ignored before what takes long to load is loaded."""
    looks = (
        "import signal, sys\n"
        "from pykyro.cli import kyrodb_server\n"
        "assert not {'pydantic', 'grpc', 'numpy'} & sys.modules.keys()\n"
        "def run(*_):\n"
        "    signal.raise_signal(signal.SIGHUP); signal.raise_signal(signal.SIGUSR1)\n"
        "    return 7\n"
        "kyrodb_server.run = run\n"
        "sys.exit(kyrodb_server.main())\n"
    )
    assert subprocess.run([sys.executable, "-c", looks], check=False).returncode == 7
