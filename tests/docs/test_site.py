"""The site that `make docs` builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs mkdocs-material")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= {
        f"{page.parent.name}.md" for page in pages
    }
    for page in pages:
        elsewhere = re.findall(
            r"<(?:script|link|img)\b[^>]*?(?:src|href)=\"?https?://[^>]*", page.read_text("utf-8")
        )
        assert elsewhere == [], page
    assert (tmp_path / "search" / "search_index.json").stat().st_size > 100_000
