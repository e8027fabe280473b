"""Keys of a segment's rows: with owners, without, and as earlier versions packed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.fault_filesystem import FaultFS

from pykyro.model.errors import DataDamaged
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import NAMESPACE_KEY, TENANT_INDEX_KEY, Key, Scope, key_doc_id, key_of, key_owner
from pykyro.storage.segment import layout
from pykyro.storage.segment.row_keys import RowKeys, read_row_keys
from pykyro.storage.segment.section_file import SectionFile, SectionWriter, open_section_file
from pykyro.storage.segment.writer import write_row_keys

PATH = Path("/segment_1.rows")

keys_of_rows = st.lists(
    st.builds(
        key_of, st.none() | st.sampled_from((0, 1, 2**32 - 1)), st.sampled_from((1, 2, 2**32 + 1, 2**64 - 1))
    ),
    min_size=1,
    max_size=30,
)


def written(
    keys: Sequence[Key], reserved: Sequence[dict[str, str]] | None = None, *, packed: Sequence[int] = ()
) -> SectionFile:
    """The sections of rows with these keys; `packed` are written instead as earlier versions wrote ids."""
    disk = FaultFS()
    writer = SectionWriter(disk, PATH)
    ids = np.array(packed or [key_doc_id(key) for key in keys], np.uint64)
    owners = np.array([0 if packed else key_owner(key) for key in keys], np.uint64)
    write_row_keys(writer, ids, owners)
    blobs = [encode_metadata(entries) for entries in reserved or [{}] * len(keys)]
    offsets = np.cumsum([0, *map(len, blobs)]).astype(np.uint64)
    writer.add("reserved_offsets", offsets)
    writer.add("reserved", np.frombuffer(b"".join(blobs), np.uint8))
    return open_section_file(disk, PATH, writer.finish({"rows": len(keys)}))


def require(found: RowKeys, keys: Sequence[Key], others: Sequence[Key] = ()) -> None:
    owners = found.owners_of(np.arange(len(keys))).tolist()
    assert list(zip(owners, found.ids.tolist(), strict=True)) == [
        (key_owner(key), key_doc_id(key)) for key in keys
    ]
    for key in {*keys, *others}:
        assert sorted(found.rows_of(key)) == [row for row, own in enumerate(keys) if own == key]


@given(keys_of_rows)
def test_every_row_is_found_by_its_key_and_no_other(keys: list[Key]) -> None:
    near = [key_of(tenant, doc_id) for tenant in (None, 0, 1, 7) for doc_id in (0, 1, 2, 3, 2**32 + 1)]
    file = written(keys)
    assert (layout.OWNERS in file.section_names) == any(key_owner(key) for key in keys)
    require(read_row_keys(file), keys, near)


def test_many_tenants_with_the_same_id_are_told_apart() -> None:
    keys = [key_of(tenant, 1) for tenant in range(500, -1, -1)] + [1]
    require(read_row_keys(written(keys)), keys, [key_of(501, 1), key_of(3, 2)])


packed_rows = st.lists(
    st.tuples(st.none() | st.sampled_from((0, 1, 2**32 - 1)), st.integers(1, 3), st.sampled_from(("", "n"))),
    min_size=1,
    max_size=30,
)


@given(packed_rows)
def test_packed_ids_are_translated(rows: list[tuple[int | None, int, str]]) -> None:
    """Some ids of documents of no tenant look like those of a tenant."""
    packed = [(tenant or index % 3) << 32 | local for index, (tenant, local, _) in enumerate(rows)]
    reserved = [Scope(tenant, namespace).constraints for tenant, _, namespace in rows]
    packed = [local if tenant == 0 else one for one, (tenant, local, _) in zip(packed, rows, strict=True)]
    keys = [
        one if tenant is None else key_of(tenant, local)
        for one, (tenant, local, _) in zip(packed, rows, strict=True)
    ]
    file = written(keys, reserved, packed=packed)
    assert layout.OWNERS not in file.section_names
    require(read_row_keys(file), keys, packed)


def test_a_namespace_that_looks_like_a_tenant_is_none() -> None:
    keys = [2**32 + 1, 2]
    reserved = [{NAMESPACE_KEY: TENANT_INDEX_KEY}, {}]
    require(read_row_keys(written(keys, reserved, packed=keys)), keys)


def test_a_tenant_that_is_no_number_is_damage() -> None:
    file = written([1], [{TENANT_INDEX_KEY: "acme"}], packed=[1])
    with pytest.raises(DataDamaged, match="no tenant's number"):
        read_row_keys(file)
