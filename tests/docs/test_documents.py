"""The documents say what is there: programs in them run, links lead somewhere, files named exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def programs(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_programs_for_new_users_run(name: str, tmp_path: Path) -> None:
    found = programs(ROOT / name)
    assert found
    for program in found:
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tour_of_the_source_names_files_that_exist() -> None:
    tour = (ROOT / "README.md").read_text("utf-8").split("## Reading the source", 1)[1]
    names = re.findall(r"`([a-z_/]+\.py)`", tour)
    assert len(names) > 10
    for name in names:
        assert (ROOT / "src" / "kyrodb" / name).exists(), name


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"(?:^ {4}|`)make ([a-z]+)", page.read_text("utf-8"), flags=re.MULTILINE):
            assert target in targets, f"{page.name} speaks of make {target}"


def test_files_stay_short_enough_to_read() -> None:
    for folder in ("src", "tests", "benchmarks", "scripts", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            if "_pb2" not in file.name:
                assert len(file.read_text("utf-8").splitlines()) <= 400, file
