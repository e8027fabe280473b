"""Wheel and source distribution hold the package, whole and alone. `make dist` installs the wheel and uses it too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from scripts.check_wheel import faults, package_files

from pykyro.version import __version__

ROOT = Path(__file__).resolve().parents[1]
BUILD = "from setuptools import build_meta; build_meta.{}('out')"
WHEEL = f"pykyro-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the tree would publish, with both distributions in `out`."""
    tree = tmp_path_factory.mktemp("tree")
    made = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", "build", "dist", "out")
    shutil.copytree(ROOT, tree, ignore=made, dirs_exist_ok=True)
    for hook in ("build_sdist", "build_wheel"):
        subprocess.run([sys.executable, "-c", BUILD.format(hook)], cwd=tree, check=True, capture_output=True)
    return tree


def test_the_wheel_is_the_package(built: Path) -> None:
    assert faults(built / "out" / WHEEL, ROOT / "src") == []


def test_a_file_that_is_missing_changed_or_too_many_is_named(built: Path, tmp_path: Path) -> None:
    broken = tmp_path / WHEEL
    with zipfile.ZipFile(built / "out" / WHEEL) as whole, zipfile.ZipFile(broken, "w") as archive:
        for name in whole.namelist():
            if name != "pykyro/py.typed":
                content = b"" if name == "pykyro/transport/http/dashboard.html" else whole.read(name)
                archive.writestr(name, content)
        archive.writestr("tests/test_package.py", b"")
    assert faults(broken, ROOT / "src") == [
        "pykyro/py.typed is missing",
        "tests/test_package.py does not belong there",
        "pykyro/transport/http/dashboard.html is not the file of the tree",
    ]


def test_the_wheel_says_what_pip_needs_to_know(built: Path) -> None:
    with zipfile.ZipFile(built / "out" / WHEEL) as archive:
        metadata = archive.read(f"pykyro-{__version__}.dist-info/METADATA").decode()
        commands = archive.read(f"pykyro-{__version__}.dist-info/entry_points.txt").decode()
    fields = Parser().parsestr(metadata)
    assert (fields["Name"], fields["Version"], fields["Requires-Python"]) == ("pykyro", __version__, ">=3.11")
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields.get_payload() == (ROOT / "README.md").read_text("utf-8")
    assert {line.partition(" =")[0] for line in commands.splitlines()[1:] if line} == {
        "kyrodb",
        "kyrodb_backup",
        "kyrodb_load_tester",
        "kyrodb_server",
    }


def test_the_source_distribution_builds_the_same_and_brings_the_documents(built: Path) -> None:
    name = f"pykyro-{__version__}"
    with tarfile.open(built / "out" / f"{name}.tar.gz") as archive:
        packed = {member.name.removeprefix(f"{name}/") for member in archive if member.isfile()}
    needed = {path.relative_to(ROOT).as_posix() for path in package_files(ROOT / "src")}
    documents = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert needed | documents | {"pyproject.toml", "README.md", "LICENSE", "config.example.yaml"} <= packed
    folders = {name.partition("/")[0] for name in packed if "/" in name}
    assert folders == {"deploy", "docs", "examples", "src"}


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_documents_name_the_wheel_of_this_version(page: str) -> None:
    named = re.findall(r"pykyro-[\w.]+-[\w-]+\.whl", (ROOT / page).read_text("utf-8"))
    assert set(named) == {WHEEL}
