"""The memory that a server with these settings needs: the formula of docs/configuration.md, which
benchmarks/memory.py holds against real servers.

It is for a database that holds so many documents, with caches that are full. Left out are mapped rows, whose pages
the system can drop, metadata beyond a hundred bytes per document, in-flight answers, and the process that builds
graphs, which needs a graph and its rows once more while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pykyro.config.settings.model import Settings
from pykyro.model.limits import QUERY_CACHE_BYTES_MAX

PROCESS_BYTES: Final = 100 << 20
"""The program, its libraries and buffers."""
_GRAPH_ROW_BYTES: Final = 24
_CACHED_DOCUMENT_BYTES: Final = 800
_HOT_ROW_BYTES: Final = 1500
_CACHED_HIT_BYTES: Final = 500
_WIDTH_MULTIPLE: Final = 16
"""Rows of a graph are padded to it."""
_SEALED_ROWS: Final = 4096
"""The hot tier is sealed at so many rows, or at cache.capacity."""


_FEW_ROWS: Final = 4
_FEW_KEY_BYTES: Final = 100
_FEW_POSTING_BYTES: Final = 64
_KEY_BYTES: Final = 700
_VALUE_BYTES: Final = 75
_POSTING_BYTES: Final = 9
_TEXT_BYTES: Final = 57


def metadata_need(keys: int, values: int, postings: int, text_bytes: int) -> int:
    """Bytes that metadata takes in the metadata index of the hot tier, right within 15 %.

    `postings` is the sum of the entries of all documents; `values` counts each value once for each key, `text_bytes`
    is how long those values are together, in a text of Latin letters (others take two or four bytes a character).
    """
    text = text_bytes + _TEXT_BYTES * values
    if postings <= _FEW_ROWS * keys:
        # Keys that few documents have: each value is kept where it is, known or not.
        each = text / max(1, values)
        return int(keys * _FEW_KEY_BYTES + postings * (_FEW_POSTING_BYTES + each))
    return keys * _KEY_BYTES + values * _VALUE_BYTES + postings * _POSTING_BYTES + text


def hot_rows(settings: Settings, documents: int) -> int:
    """Documents that a full hot tier has."""
    return min(settings.cache.capacity, _SEALED_ROWS, documents)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes by use."""

    process_bytes: int
    graph_bytes: int
    hot_tier_bytes: int
    document_cache_bytes: int
    query_cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        caches = self.document_cache_bytes + self.query_cache_bytes
        return self.process_bytes + self.graph_bytes + self.hot_tier_bytes + caches


def memory_need(settings: Settings, documents: int) -> MemoryNeed:
    """The memory that these settings need with so many documents."""
    hnsw, cache = settings.hnsw, settings.cache
    vector = 4 * hnsw.dimension
    width = -(-hnsw.dimension // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
    hits = cache.query_cache_capacity * hnsw.ef_search if cache.query_cache_mode != "off" else 0
    cached = min(cache.capacity, documents)
    return MemoryNeed(
        process_bytes=PROCESS_BYTES,
        # Codes of a byte a component; 2 m neighbours of four bytes at the bottom.
        graph_bytes=0 if hnsw.mapped_graphs else documents * (width + 8 * hnsw.m + _GRAPH_ROW_BYTES),
        hot_tier_bytes=min(cache.capacity, _SEALED_ROWS) * (vector + _HOT_ROW_BYTES),
        document_cache_bytes=cached * (vector + _CACHED_DOCUMENT_BYTES),
        query_cache_bytes=min(QUERY_CACHE_BYTES_MAX, hits * (vector + _CACHED_HIT_BYTES)),
    )
