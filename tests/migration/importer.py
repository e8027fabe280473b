"""kyrodb import as a test calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.cli.kyrodb import main

NEW = ("--dimension", "3", "--distance", "euclidean")


class Importer:
    """The command in this process, into a directory of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = root / "data"
        self._capsys = capsys
        self.err = ""

    def __call__(self, source: Path, *more: str, expect: int = 0) -> str:
        code = main(["import", "--in", str(source), "--data-dir", str(self.data), *NEW, *more])
        output = self._capsys.readouterr()
        self.err = output.err
        assert code == expect, output.err
        return output.out

    def refused(self, source: Path, *more: str) -> str:
        assert self(source, *more, expect=1) == ""
        assert self.err.startswith("Error: ")
        assert "Traceback" not in self.err
        return self.err


def rows_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "rows.jsonl"
    good = [f'{{"id": {at}, "vector": [1, 2, {at}]}}' for at in range(1, 6)]
    path.write_bytes("".join(f"{line}\n" for line in (lines or good)).encode("utf-8", "surrogateescape"))
    return path
