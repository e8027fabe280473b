"""Section files: arrays in, the same arrays out. Bit rot: test_bit_rot.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.crash.disk import AllKept, AllLost
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.storage.golden_files import sections, write_sections

from pykyro.model.errors import DataDamaged
from pykyro.storage.segment.section_file import SectionWriter, open_section_file, parse_footer

ROOT = Path("/")
PATH = ROOT / "segment_000000000005.rows"


def test_arrays_come_back_with_their_shapes_and_types() -> None:
    disk = FaultFS()
    _, facts = write_sections(disk)
    file = open_section_file(disk, PATH, facts)
    assert file.attributes == {"rows": 3}
    assert file.section_names == list(sections())
    for name, array in sections().items():
        found = file.section(name)
        np.testing.assert_array_equal(found, array)
        assert (found.dtype, found.shape, found.flags.writeable) == (array.dtype, array.shape, False)
    assert all(extent.start % 64 == 0 for extent in file.extents)


def test_chunks_are_one_array_and_must_fill_it() -> None:
    disk = FaultFS()
    writer = SectionWriter(disk, PATH)
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    writer.add_chunks("rows", [rows[:1], rows[1:5], rows[5:]], shape=(6, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"section short: 8 bytes given, shape \(3, 2\) needs 24"):
        writer.add_chunks("short", [rows[:1]], shape=(3, 2), dtype=np.float32)
    facts = writer.finish({})
    np.testing.assert_array_equal(open_section_file(disk, PATH, facts).section("rows"), rows)


def test_other_byte_order_and_layout_are_stored_the_same() -> None:
    disk = FaultFS()
    writer = SectionWriter(disk, PATH)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    writer.add("big_endian", array.astype(">f4"))
    writer.add("columns_first", np.asfortranarray(array))
    file = open_section_file(disk, PATH, writer.finish({}))
    for name in file.section_names:
        np.testing.assert_array_equal(file.section(name), array)
        assert file.section(name).dtype == np.dtype("<f4")


def test_missing_section_is_damage() -> None:
    disk = FaultFS()
    _, facts = write_sections(disk)
    with pytest.raises(DataDamaged, match="section norms is missing"):
        open_section_file(disk, PATH, facts).section("norms")


@pytest.mark.parametrize("change", [{"size_bytes": 1}, {"digest": "0" * 32}])
def test_file_must_be_the_one_the_manifest_remembers(change: dict[str, Any]) -> None:
    disk = FaultFS()
    _, facts = write_sections(disk)
    with pytest.raises(DataDamaged):
        open_section_file(disk, PATH, replace(facts, **change))


def test_verify_is_what_reads_the_sections() -> None:
    disk = FaultFS()
    _, facts = write_sections(disk)
    disk.flip(PATH, 8 * 130)  # inside "vectors"
    open_section_file(disk, PATH, facts, verify=False)
    with pytest.raises(DataDamaged, match="section vectors does not match its digest") as caught:
        open_section_file(disk, PATH, facts)
    assert caught.value.offset == 128


def test_finished_file_is_durable_and_unfinished_ones_leave_no_name() -> None:
    disk = FaultFS()
    write_sections(disk)
    disk.sync_directory(ROOT)
    assert disk.crash(AllLost()).names(ROOT) == [PATH.name]
    writer = SectionWriter(disk, ROOT / "other.rows")
    writer.add("ids", np.arange(3, dtype=np.uint64))
    writer.abandon()
    assert disk.names(ROOT) == [PATH.name]
    disk.faults = [Fault(len(disk.calls) + 1, "error")]
    with pytest.raises(OSError, match="Input/output"):
        SectionWriter(disk, ROOT / "other.rows")
    assert disk.names(ROOT) == [PATH.name]


def test_name_appears_only_when_the_bytes_are_down() -> None:
    disk = FaultFS()
    content, facts = write_sections(disk)
    assert disk.crash(AllKept()).read(PATH) == content
    calls = [call.name for call in disk.calls if call.name in ("sync", "replace")]
    assert calls == ["sync", "replace"]
    assert facts.size_bytes == len(content)


def entry(**change: Any) -> dict[str, Any]:
    return {"dtype": "<f4", "shape": [2, 2], "offset": 64, "digest": "0" * 32} | change


def footer(section: Any, name: str = "a", **change: Any) -> bytes:
    return json.dumps({"format": 1, "attributes": {}, "sections": {name: section}} | change).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (footer(entry()), None),
        (footer(entry(shape=[2, 3])), "outside the file"),
        (footer(entry(offset=128)), "outside the file"),
        (footer(entry(offset=1)), "outside the file"),
        (footer(entry(offset=-64)), "outside the file"),
        (footer(entry(offset=True)), "outside the file"),
        (footer(entry(shape=[2**47, 2**47])), "outside the file"),
        (footer(entry(shape=[-1, 2])), "no valid shape"),
        (footer(entry(shape=[1, 1, 1])), "no valid shape"),
        (footer(entry(shape=[True, 1])), "no valid shape"),
        (footer(entry(dtype="O")), "no known type"),
        (footer(entry(dtype=[["a", "<f4"]])), "no known type"),
        (footer(entry(digest=None)), "no digest"),
        (footer(entry(), name="n" * 65), "no valid name"),
        (footer([]), "no valid name or entry"),
        (footer(entry(), format=2), "format is not 1"),
        (footer(entry(), sections=[]), "not objects"),
        (b"[]", "format is not 1"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_footer_is_checked_field_by_field(data: bytes, reason: str | None) -> None:
    if reason is None:
        assert parse_footer(data, 80)["sections"] == {"a": entry()}
    else:
        with pytest.raises(ValueError, match=reason):
            parse_footer(data, 80)
