"""The formula for memory, worked out by hand and as the page states it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pykyro.config import Settings
from pykyro.config.settings import memory
from pykyro.config.settings.memory import memory_need
from pykyro.engine.options import SEAL_ROWS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def settings_of(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def test_each_part_by_hand() -> None:
    need = memory_need(
        settings_of(
            hnsw={"dimension": 100, "m": 20, "ef_search": 70},
            cache={"capacity": 5000, "query_cache_capacity": 10},
        ),
        3000,
    )
    assert need.graph_bytes == 3000 * (112 + 160 + 24)
    assert need.hot_tier_bytes == 4096 * (400 + 1500)
    assert need.document_cache_bytes == 3000 * (400 + 800)
    assert need.query_cache_bytes == 10 * 70 * (400 + 500)
    parts = need.graph_bytes + need.hot_tier_bytes + need.document_cache_bytes + need.query_cache_bytes
    assert need.total_bytes == (100 << 20) + parts


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"hnsw": {"mapped_graphs": True}}, "graph_bytes"),
        ({"cache": {"query_cache_mode": "off"}}, "query_cache_bytes"),
    ],
)
def test_what_is_off_needs_nothing(changed: dict[str, Any], part: str) -> None:
    assert getattr(memory_need(settings_of(), 100_000), part) > 0
    assert getattr(memory_need(settings_of(**changed), 100_000), part) == 0


def test_the_query_cache_is_bounded() -> None:
    need = memory_need(settings_of(cache={"query_cache_capacity": 1_000_000}), 1)
    assert need.query_cache_bytes == 256 << 20


def test_the_page_says_what_the_defaults_come_to() -> None:
    total = memory_need(settings_of(), 100_000).total_bytes
    assert f"With 100,000 documents the defaults come to {total / 2**20:.0f} MiB." in PAGE.read_text("utf-8")


def test_the_hot_tier_is_sealed_where_the_formula_says() -> None:
    assert memory._SEALED_ROWS == SEAL_ROWS
