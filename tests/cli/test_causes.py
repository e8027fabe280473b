"""An error is told with its causes, each once, whatever they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.engine.opening import fill, open_small, vectors

from pykyro.cli.backup import output as backup_output
from pykyro.cli.kyrodb_backup import main
from pykyro.model.errors import CAUSES_MAX, KyroError, causes


def chain(length: int) -> list[KyroError]:
    errors = [KyroError(str(number)) for number in range(length)]
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors


@pytest.mark.parametrize(("length", "told"), [(1, 0), (2, 1), (5, 4), (10_000, CAUSES_MAX)])
def test_causes_are_told_in_order_up_to_a_bound(
    length: int, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    backup_output.error(chain(length)[0])
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Error: 0", *(f"Caused by: {number}" for number in range(1, told + 1))]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_causes_in_a_circle_end(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    errors = chain(length)
    errors[-1].__cause__ = errors[0]
    assert list(causes(errors[0])) == errors[1:]
    backup_output.error(errors[0])
    assert len(capsys.readouterr().err.splitlines()) == length


def test_circle_behind_the_error_ends() -> None:
    errors = chain(4)
    errors[-1].__cause__ = errors[1]
    assert list(causes(errors[0])) == errors[1:]


@pytest.mark.parametrize("kind", ["log", "segment", "missing"])
def test_backup_of_a_damaged_database_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(20))
    engine.flush()
    fill(engine, vectors(20), first_id=101)
    engine.close()
    pattern = "*.wal" if kind == "log" else "*.rows"
    damaged = sorted((tmp_path / "data").glob(pattern))[-1 if kind != "log" else 1]
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1
    damaged.write_bytes(content)
    if kind == "missing":
        damaged.unlink()
    command = ["create", "--data-dir", str(tmp_path / "data"), "--backup-dir", str(tmp_path / "backups")]
    assert main(command) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Error: ")
    assert damaged.name in lines[0]
    assert len(lines) <= 2
    assert len(set(lines)) == len(lines)
