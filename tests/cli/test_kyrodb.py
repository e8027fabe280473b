"""The kyrodb command, as a process and in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tenancy.keys import CANARY, entry, key_of, write_keys

from pykyro.cli.kyrodb import main
from pykyro.tenancy.key_file import read_key_file
from pykyro.tenancy.key_ring import KeyRing


def test_a_new_key_opens_and_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.yaml"
    arguments = ["keys", "new", "--file", str(path), "--tenant", "acme", "--max-vectors", "7", "--admin"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    key = shown.out.strip()
    assert key not in path.read_text()
    assert key not in shown.err
    found = KeyRing(read_key_file(path, only_loopback=False).keys).find(key)
    assert (found.tenant_id, found.max_vectors, found.max_qps, found.is_admin) == ("acme", 7, 0, True)
    assert "SIGHUP" in shown.err


def test_another_key_of_a_tenant_takes_after_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry(max_vectors=7, max_qps=8, is_admin="true"))
    assert main(["keys", "new", "-f", str(path), "--tenant", "acme"]) == 0
    assert main(["keys", "new", "-f", str(path), "--tenant", "acme", "--name", "A", "--max-qps", "9"]) == 0
    _, second, third = read_key_file(path, only_loopback=False).keys
    assert (second.tenant_name, second.max_vectors, second.max_qps) == ("The acme company", 7, 8)
    assert (third.tenant_name, third.max_vectors, third.max_qps) == ("A", 7, 9)
    assert not second.is_admin
    assert len(capsys.readouterr().out.split()) == 2


def test_list_shows_everything_but_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_keys(
        tmp_path / "keys.yaml", entry(key=key_of("acme", CANARY)), entry("b", enabled="false", max_qps=3)
    )
    assert main(["keys", "list", "-f", str(path), "--format", "json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first | {"id": ""} == {
        "id": "",
        "tenant_id": "acme",
        "tenant_name": "The acme company",
        "max_vectors": 1000,
        "max_qps": 0,
        "enabled": True,
        "is_admin": False,
        "created_at": "",
        "stored": "clear",
    }
    assert (second["tenant_id"], second["enabled"], second["max_qps"]) == ("b", False, 3)
    assert main(["keys", "list", "-f", str(path)]) == 0
    shown = capsys.readouterr()
    head, *lines = shown.out.splitlines()
    assert head.split()[:2] == ["id", "tenant_id"]
    assert [line.split()[0] for line in lines] == [first["id"], second["id"]]
    assert "as plain text" in shown.err
    assert CANARY not in shown.out + shown.err


def test_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_keys(tmp_path / "keys.yaml")
    assert main(["keys", "list", "-f", str(path), "--format", "json"]) == 0
    assert main(["keys", "list", "-f", str(path)]) == 0
    assert capsys.readouterr().out == "[]\nno keys\n"


def test_disable_by_id_and_by_tenant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_keys(
        tmp_path / "keys.yaml", entry(), entry("b"), entry("b", key=key_of("b", "t" * 32)), entry("c")
    )
    first = read_key_file(path, only_loopback=False).keys[0]
    assert main(["keys", "disable", "-f", str(path), first.key_id]) == 0
    assert main(["keys", "disable", "-f", str(path), "--tenant", "b"]) == 0
    after = read_key_file(path, only_loopback=False).keys
    assert [key.enabled for key in after] == [False, False, False, True]
    assert capsys.readouterr().out.splitlines()[0] == f"disabled {first.key_id} of tenant acme"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new", "--tenant", "a-b"], "tenant_id 'a-b' must be"),
        (["new", "--tenant", "a", "--name", "two\nlines"], "printable text in one line"),
        (["disable", "0123456789ab"], "no key of the file has this id"),
        (["disable", "--tenant", "b"], "has no key in the file"),
        (["disable"], "name the keys to disable"),
        (["disable", "0123456789ab", "--tenant", "acme"], "name the keys to disable"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    path = write_keys(tmp_path / "keys.yaml", entry())
    before = path.read_text()
    assert main(["keys", *arguments, "-f", str(path)]) == 1
    assert says in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["keys"],
        ["keys", "new"],
        ["keys", "new", "--tenant", "a", "--max-vectors", "0"],
        ["keys", "new", "--ten", "a"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_the_configuration_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    config = tmp_path / "config.yaml"
    config.write_text(f"auth:\n  api_keys_file: {path}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KYRODB")}
    command = [sys.executable, "-m", "pykyro.cli.kyrodb", "keys"]
    new = subprocess.run(
        [*command, "new", "--tenant", "acme", "-c", str(config)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert new.returncode == 0, new.stderr
    by_environment = environment | {"KYRODB_CONFIG": str(config)}
    listed = subprocess.run([*command, "list"], env=by_environment, capture_output=True, text=True)
    assert "acme" in listed.stdout
    unset = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True)
    assert unset.returncode == 1
    assert "auth.api_keys_file is not set" in unset.stderr
