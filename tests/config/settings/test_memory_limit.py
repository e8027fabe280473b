"""memory.limit as people write it, and what stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.config import load_settings
from pykyro.config.settings.memory_limit import MemorySettings
from pykyro.model.byte_size import parse_bytes
from pykyro.model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("268435456", 1 << 28),
        ("512MiB", 1 << 29),
        (" 2 GiB ", 1 << 31),
        ("1.5gib", 3 << 29),
        ("300000KiB", 300_000 << 10),
        ("1TiB", 1 << 40),
        ("134217728B", 1 << 27),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size
    assert load_settings(None, {"KYRODB__MEMORY__LIMIT": text}).settings.memory.limit == size


@pytest.mark.parametrize(
    "text",
    ["2GB", "-1", "1e9", "GiB", "1.5", "1.GiB", "0x10", "1_000_000_000", "٣GiB", "127MiB", "9" * 30, "true"],
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"memory\.limit = .*must be an integer of bytes or a size like 512MiB or 2GiB"
    ):
        load_settings(None, {"KYRODB__MEMORY__LIMIT": text})


def test_a_file_may_state_it_either_way(tmp_path: Path) -> None:
    for number, text in enumerate(("536870912", "512MiB", '"512MiB"')):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"memory: {{limit: {text}}}\n", "utf-8")
        assert load_settings(path, {}).settings.memory.limit == 1 << 29


def test_without_it_a_share_of_what_is_allowed_counts() -> None:
    assert MemorySettings().limit_bytes(1000) == 800
    assert MemorySettings(limit=1 << 29).limit_bytes(1000) == 1 << 29
