"""The formats on disk do not change by accident: today's writers make yesterday's bytes."""

from __future__ import annotations

import pytest
from tests.storage.golden_files import files, golden


@pytest.mark.parametrize("name", ["open.wal", "sealed.wal", "sections.rows", "MANIFEST"])
def test_writers_make_the_golden_bytes(name: str) -> None:
    assert files()[name] == golden(name)
