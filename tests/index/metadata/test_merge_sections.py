"""Sections merged or built piece by piece equal, byte for byte, those built at once of the same rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.metadata_cases import AWKWARD, metadata

from pykyro.index.metadata.merge_sections import GONE, MergePart, merge_sections, stream_sections
from pykyro.index.metadata.sections import DTYPES, Sections, build_sections

Metadata = Mapping[str, str]


class Collected:
    """Pieces put behind each other."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[npt.NDArray[Any]]] = {}
        self.largest = 0

    def append(self, name: str, piece: npt.NDArray[Any]) -> None:
        assert piece.dtype == DTYPES[name]
        self.pieces.setdefault(name, []).append(piece.copy())
        self.largest = max(self.largest, piece.nbytes)

    def sections(self) -> Sections:
        return {name: np.concatenate(pieces) for name, pieces in self.pieces.items()}


def assert_equal(found: Sections, expected: Sections) -> None:
    assert found.keys() == expected.keys()
    for name, section in expected.items():
        assert found[name].dtype == section.dtype, name
        assert found[name].tobytes() == section.tobytes(), name


def merged(segments: Sequence[Sequence[tuple[Metadata, bool]]], piece_bytes: int = 1 << 20) -> Sections:
    parts, rows = [], 0
    for segment in segments:
        kept = np.array([keep for _, keep in segment], dtype=np.bool_)
        new_rows = np.full(len(segment), GONE, dtype=np.uint32)
        new_rows[kept] = np.arange(rows, rows + int(kept.sum()))
        rows += int(kept.sum())
        parts.append(MergePart(build_sections((entries for entries, _ in segment), len(segment)), new_rows))
    out = Collected()
    merge_sections(parts, rows, out.append, piece_bytes)
    return out.sections()


def at_once(segments: Sequence[Sequence[tuple[Metadata, bool]]]) -> Sections:
    kept = [entries for segment in segments for entries, keep in segment if keep]
    return build_sections(iter(kept), len(kept))


segments_of_rows = st.lists(st.lists(st.tuples(metadata, st.booleans()), max_size=12), max_size=4)


@settings(max_examples=200)
@given(segments_of_rows, st.sampled_from([1, 500, 1 << 20]))
def test_a_merge_equals_building_at_once(
    segments: list[list[tuple[Metadata, bool]]], piece_bytes: int
) -> None:
    assert_equal(merged(segments, piece_bytes), at_once(segments))


def large_rows(start: int, count: int) -> list[tuple[Metadata, bool]]:
    rng = np.random.default_rng(start)
    rows: list[tuple[Metadata, bool]] = []
    for row in range(start, start + count):
        entries = {
            "tenant": "7",
            "few": str(rng.integers(3)),
            "price": f"{rng.normal():.2f}",
            "id": f"d{row}",
        }
        if rng.random() < 0.5:
            entries["mixed"] = AWKWARD[rng.integers(len(AWKWARD))]
        if start:
            entries["later"] = str(row % 300)
        rows.append((entries, bool(rng.random() < 0.8)))
    return rows


@pytest.mark.parametrize("piece_bytes", [1000, 1 << 20])
def test_keys_dense_enough_for_codes(piece_bytes: int) -> None:
    segments = [large_rows(0, 5000), large_rows(5000, 3000), large_rows(8000, 400)]
    assert_equal(merged(segments, piece_bytes), at_once(segments))


def rows_with_keys_of_their_own(start: int, count: int, shared: bool) -> list[tuple[Metadata, bool]]:
    """Keys of one input alone, interleaved with those of the others, and some that all inputs have."""
    rng = np.random.default_rng(start)
    rows: list[tuple[Metadata, bool]] = []
    for row in range(start, start + count):
        own = {f"{rng.integers(1 << 40):x} of {row}": AWKWARD[rng.integers(len(AWKWARD))] for _ in range(40)}
        few = {f"few {start} {rng.integers(count)}": str(rng.integers(3))} if shared else {}
        rows.append((own | few | {"id": f"d{row}", f"large {row}": "x" * 300}, bool(rng.random() < 0.8)))
    return rows


@pytest.mark.parametrize(("keep_all", "shared"), [(True, True), (False, True), (False, False)])
def test_many_keys_of_one_input(keep_all: bool, shared: bool) -> None:
    segments = [rows_with_keys_of_their_own(start, 90, shared) for start in (0, 1000, 2000)]
    if keep_all:
        segments = [[(entries, True) for entries, _ in segment] for segment in segments]
    assert_equal(merged(segments, 2000), at_once(segments))


@settings(max_examples=50)
@given(st.lists(metadata, max_size=30), st.sampled_from([1, 20_000, 1 << 30]))
def test_building_in_pieces_equals_building_at_once(rows: list[Metadata], memory_bytes: int) -> None:
    out = Collected()
    stream_sections(iter(rows), len(rows), out.append, lambda sections: sections, memory_bytes)
    assert_equal(out.sections(), build_sections(iter(rows), len(rows)))


def test_the_number_of_rows_must_be_true() -> None:
    for memory_bytes in (1, 1 << 20):
        with pytest.raises(ValueError, match="metadata of 1 rows for a segment of 2"):
            stream_sections(
                iter([{"a": "b"}]), 2, Collected().append, lambda sections: sections, memory_bytes
            )


def texts(rows: int) -> Iterator[Metadata]:
    for row in range(rows):
        yield {"text": f"{row} " + "x" * 20_000, f"key {row}": "1", "n": str(row)}


def test_memory_goes_by_the_setting_and_not_by_the_rows(tmp_path: Path) -> None:
    rows, memory_bytes, stored = 3000, 6 << 20, [0]
    written: dict[str, int] = {}

    def store(sections: Sections) -> Sections:
        mapped: Sections = {}
        stored[0] += 1
        for name, section in sections.items():
            path = tmp_path / f"{stored[0]}-{name}.npy"
            np.save(path, section)
            mapped[name] = np.load(path, mmap_mode="r") if section.size else section
        return mapped

    def append(name: str, piece: npt.NDArray[Any]) -> None:
        written[name] = written.get(name, 0) + piece.nbytes

    tracemalloc.start()
    try:
        stream_sections(texts(rows), rows, append, store, memory_bytes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written["val_text"] > 50 << 20
    assert stored[0] > 10
    assert peak < 4 * memory_bytes
