"""The programs in docs/integrations.md run as they are printed, and print what they say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["LangChain", "LlamaIndex", "Haystack", "Chroma", "Qdrant"])
def test_a_program_runs(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(program, {})
    said = re.findall(r"print\(.*\)  # (.+)", program)
    assert said
    assert shown.getvalue().splitlines() == said
