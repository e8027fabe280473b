"""What an isolated Python is told, and that it finds our package and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pykyro.system.isolated_python import ANY_DIRECTORY, NoInterpreter, isolated_command

SHOW = """
import json, sys
print(json.dumps({"argv": sys.argv, "path": sys.path, "name": __name__}))
"""


def test_a_module_runs_as_main_with_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "shown.py").write_text(SHOW)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "relative/site-packages", *sys.path, str(site)])
    command = isolated_command("shown", "one", "--two")
    done = subprocess.run(command, cwd=ANY_DIRECTORY, capture_output=True, check=True)
    shown = json.loads(done.stdout)
    assert shown["argv"][1:] == ["one", "--two"]
    assert shown["name"] == "__main__"
    assert str(site) in shown["path"]
    assert not {"", ".", str(tmp_path), "relative/site-packages"} & set(shown["path"])
    # The standard library comes first, so that nothing beside our package can stand in for it.
    standard = next(at for at, entry in enumerate(shown["path"]) if (Path(entry) / "queue.py").exists())
    assert standard < shown["path"].index(str(site))


@pytest.mark.parametrize("executable", ["", None, "python3", "/bin/true", "/nowhere/python3"])
def test_what_is_no_python_is_told_apart(monkeypatch: pytest.MonkeyPatch, executable: str | None) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(NoInterpreter, match=r"sys\.executable is"):
        isolated_command("shown")
