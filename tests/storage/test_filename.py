"""Which names are the database's own."""

from __future__ import annotations

import pytest

from pykyro.storage import filename


def test_every_name_it_gives_is_recognised_with_its_number() -> None:
    names = [
        filename.wal(7),
        filename.segment_rows(8),
        filename.segment_graph(9),
        filename.segment_dead(5, 12),
        filename.temporary(filename.segment_rows(3)),
    ]
    assert all(filename.is_data_file(name) for name in names)
    assert filename.largest_number(names) == 12
    assert filename.largest_number([]) == 0
    assert filename.is_data_file(filename.temporary(filename.MANIFEST))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "MANIFEST",
        "LOCK",
        "snapshots",
        "wal_7.wal",
        "wal_000000000007.wal.bak",
        "xwal_000000000007.wal",
        "segment_000000000007.dead",
        "segment_000000000007.rows\n",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert not filename.is_data_file(name)
    assert filename.largest_number([name]) == 0


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("20260101T000000Z", True),
        ("20260101T000000Z-12", True),
        ("20260101T000000", False),
        ("backup", False),
        ("20260101T000000Z-", False),
    ],
)
def test_snapshot_names(name: str, ours: bool) -> None:
    assert filename.is_snapshot(name) is ours
