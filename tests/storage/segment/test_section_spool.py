"""Pieces of many arrays go in as they come; whole sections come out, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.fault_filesystem import FaultFS

from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.segment.section_file import SectionWriter, open_section_file
from pykyro.storage.segment.section_spool import SectionSpool

TYPES: dict[str, Any] = {"a": np.uint8, "b": np.uint64, "c": np.float64}
pieces = st.lists(st.tuples(st.sampled_from(sorted(TYPES)), st.integers(0, 70)), max_size=30)


def written(
    filesystem: FileSystem, directory: Path, steps: list[tuple[str, int]]
) -> dict[str, npt.NDArray[Any]]:
    """The sections that come of these pieces."""
    path = directory / "segment_000000000007.rows"
    with SectionSpool(filesystem, directory, 7) as spool:
        stored = spool.store({"x": np.arange(10), "none": np.empty(0, dtype=np.uint8)})
        for at, (name, length) in enumerate(steps):
            spool.append(name, np.arange(at, at + length).astype(TYPES[name]))
        writer = SectionWriter(filesystem, path)
        spool.copy_to(writer, "index:")
        facts = writer.finish({})
        again = spool.store({"y": np.arange(3)})
    assert list(stored["x"]) == list(range(10))
    assert list(again["y"]) == [0, 1, 2]
    assert not len(stored["none"])
    assert filesystem.names(directory) == [path.name]
    file = open_section_file(filesystem, path, facts)
    return {name: file.section(name) for name in file.section_names}


@given(pieces)
def test_pieces_are_put_behind_each_other(steps: list[tuple[str, int]]) -> None:
    found = written(FaultFS(), Path("/"), steps)
    assert found.keys() == {f"index:{name}" for name, _ in steps}
    for name, dtype in TYPES.items():
        parts = [
            np.arange(at, at + length).astype(dtype) for at, (of, length) in enumerate(steps) if of == name
        ]
        if parts:
            np.testing.assert_array_equal(found[f"index:{name}"], np.concatenate(parts))
            assert found[f"index:{name}"].dtype == dtype


def test_on_a_real_disk(tmp_path: Path) -> None:
    found = written(LocalFileSystem(), tmp_path, [("b", 3), ("a", 70), ("b", 2_000_000)])
    assert len(found["index:b"]) == 2_000_003
    assert found["index:b"][-1] == 2_000_001


def test_a_piece_of_another_type_is_refused() -> None:
    with SectionSpool(FaultFS(), Path("/"), 7) as spool:
        spool.append("a", np.zeros(1, dtype=np.uint8))
        with pytest.raises(ValueError, match="a piece of uint16 for a, which holds uint8"):
            spool.append("a", np.zeros(1, dtype=np.uint16))


def test_what_a_killed_build_leaves_is_known_as_ours() -> None:
    left = filename.temporary(filename.segment_spool(7))
    assert filename.is_data_file(left)
    assert left in filename.segment_files(7)
