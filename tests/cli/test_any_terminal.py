"""Every command works whatever its output can show, and says nothing when nobody reads it any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, fill, open_small, vectors

from pykyro.cli.command import run

ASCII = {"PYTHONIOENCODING": "ascii"}
LATIN_1 = {"PYTHONIOENCODING": "latin-1"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
C_STRICT = C_LOCALE | {"PYTHONIOENCODING": "ascii:strict"}


def command(
    name: str, *arguments: object, env: Mapping[str, str], cwd: Path, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """A command of ours in a process of its own, without what this environment says about KyroDB and text."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KYRODB", "PYTHONIO", "LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", f"pykyro.cli.{name}", *map(str, arguments)],
        env=kept | dict(env),
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a name of many scripts, a database in it, its backup and a key file."""
    directory = tmp_path_factory.mktemp("plätze-日本→") / "größe"
    directory.mkdir()
    engine = open_small(directory / "data")
    fill(engine, vectors(20), metadata={"wörter": "日本"})
    engine.close()
    (directory / "config.json").write_text(f'{{"hnsw": {{"dimension": {DIMENSION}}}}}')
    return directory


COMMANDS: list[tuple[str, list[str], set[int]]] = [
    ("kyrodb", ["doctor", "--data-dir", "data"], {0}),
    ("kyrodb", ["doctor", "--data-dir", "data", "--deep", "--format", "json"], {0}),
    ("kyrodb", ["doctor", "--data-dir", "fehlt→"], {1}),
    ("kyrodb", ["keys", "new", "--file", "keys.yaml", "--tenant", "acme", "--name", "Größe →"], {0}),
    ("kyrodb", ["keys", "list", "--file", "keys.yaml"], {0}),
    ("kyrodb", ["keys", "list", "--file", "keys.yaml", "--format", "json"], {0}),
    ("kyrodb", ["keys", "list", "--file", "fehlt-日本"], {1}),
    ("kyrodb_backup", ["create", "--description", "größer → 日本"], {0}),
    ("kyrodb_backup", ["list", "--format", "table"], {0}),
    ("kyrodb_backup", ["list", "--format", "json"], {0}),
    ("kyrodb_backup", ["verify", "--newest", "--deep"], {0}),
    ("kyrodb_backup", ["create", "--data-dir", "fehlt-日本"], {1}),
    ("kyrodb", ["drill"], {0}),
    ("kyrodb", ["export", "--data-dir", "data", "--out", "out-日本", "--format", "jsonl"], {0}),
    ("kyrodb", ["import", "--in", "out-日本", "--data-dir", "neu-日本"], {0}),
    ("kyrodb", ["import", "--in", "fehlt-日本", "--data-dir", "neu"], {1}),
    ("kyrodb", ["top", "--url", "http://127.0.0.1:1/日本"], {1}),
    ("kyrodb", ["--help"], {0}),
    ("kyrodb_server", ["--help"], {0}),
    ("kyrodb_server", ["--generate-config", "yaml"], {0}),
    ("kyrodb_server", ["--check-config", "--config", "config.json", "--data-dir", "data"], {0}),
    ("kyrodb_server", ["--check-config", "--config", "config.json", "--data-dir", "config.json/日本"], {1}),
    ("kyrodb_server", ["--config", "fehlt-日本.yaml"], {1}),
    ("kyrodb_server", ["--generate-config", "größe"], {1}),
]


def test_every_command_where_output_can_show_little(tmp_path: Path) -> None:
    work = tmp_path / "größe"
    work.mkdir()
    (work / "config.json").write_text(f'{{"hnsw": {{"dimension": {DIMENSION}}}}}')
    engine = open_small(work / "data")
    fill(engine, vectors(20), metadata={"wörter": "日本"})
    engine.close()
    for name, arguments, codes in COMMANDS:
        ended = command(name, *arguments, env=C_STRICT, cwd=work)
        said = (ended.stdout + ended.stderr).decode("ascii")
        assert ended.returncode in codes, (name, arguments, said)
        assert "Traceback" not in said, (name, arguments, said)


@pytest.mark.parametrize("env", [LATIN_1, C_LOCALE], ids=["latin-1", "C"])
def test_doctor_where_output_can_show_little(place: Path, env: dict[str, str]) -> None:
    ended = command("kyrodb", "doctor", "--data-dir", "fehlt→", env=env, cwd=place)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_arrows_are_written_in_ascii(place: Path) -> None:
    ended = command("kyrodb", "doctor", "--data-dir", "fehlt", env=ASCII, cwd=place)
    assert b"\n       -> check that it is the right one" in ended.stdout


def test_a_note_in_utf_8_is_kept_whatever_the_locale(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.close()
    assert (
        command("kyrodb_backup", "create", "--description", "größer", env=C_LOCALE, cwd=tmp_path).returncode
        == 0
    )
    shown = command("kyrodb_backup", "list", "--format", "json", env={"PYTHONUTF8": "1"}, cwd=tmp_path).stdout
    assert b'"description": "gr\\u00f6\\u00dfer"' in shown


def test_a_reader_that_leaves(place: Path) -> None:
    """As with `| head`: no traceback, and the interpreter has nothing to complain about at its end either."""
    for name, arguments in (
        ("kyrodb_server", ["--generate-config", "yaml"]),
        ("kyrodb_server", ["--help"]),
        ("kyrodb", ["doctor", "--data-dir", "data"]),
        ("kyrodb", ["doctor", "--data-dir", "data", "--format", "json"]),
        ("kyrodb_backup", ["--help"]),
        ("kyrodb_backup", ["list", "--format", "json"]),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            ended = command(name, *arguments, env={}, cwd=place, stdout=writing)
        finally:
            os.close(writing)
        assert ended.stderr == b"", (name, arguments)
        # argparse takes no notice of what becomes of its help.
        assert ended.returncode == int("--help" not in arguments)


def test_output_that_cannot_be_written_is_an_error(place: Path) -> None:
    with open("/dev/full", "wb") as full:
        ended = command("kyrodb_server", "--generate-config", "yaml", env={}, cwd=place, stdout=full.fileno())
    assert ended.returncode == 1
    assert ended.stderr == b"Error: [Errno 28] No space left on device\n"


def test_output_that_is_closed(place: Path) -> None:
    for arguments in (
        ["doctor", "--data-dir", "data", "--format", "json"],
        ["keys", "list", "--file", "gone"],
    ):
        shell = [
            "sh",
            "-c",
            'exec "$@" <&- >&- 2>&-',
            "sh",
            sys.executable,
            "-m",
            "pykyro.cli.kyrodb",
            *arguments,
        ]
        code = subprocess.run(shell, cwd=place, timeout=300, check=False).returncode
        assert code == (1 if "gone" in arguments else 0)


def test_a_pipe_of_something_else_that_ends_is_an_error() -> None:
    told: list[BaseException] = []

    def body() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    assert run(body, told.append) == 1
    assert len(told) == 1
