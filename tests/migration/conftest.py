"""What tests of imports share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.migration.importer import Importer


@pytest.fixture
def importer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Importer:
    return Importer(tmp_path, capsys)
