"""The formats on disk do not change by accident: today's writers make yesterday's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.storage.golden_files import files, golden, manifest

from pykyro.storage.manifest import decode_manifest


@pytest.mark.parametrize(
    "name", ["open.wal", "sealed.wal", "merges.wal", "sections.rows", "MANIFEST", "MANIFEST.merges"]
)
def test_writers_make_the_golden_bytes(name: str) -> None:
    assert files()[name] == golden(name)


def test_a_manifest_of_format_1_that_has_tenants_is_read() -> None:
    assert decode_manifest(golden("MANIFEST.format_1"), Path("MANIFEST")) == manifest()
