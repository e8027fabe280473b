"""Catalogs out of nothing, for what only looks at times, positions and dependencies."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from pykyro.backup.archive.record import LogPiece, LogSegment, Position, Record, StoredFile
from pykyro.backup.history.catalog import Catalog, CatalogEntry, newest_first
from pykyro.model.types import Metric

NO_DIGEST = "0" * 32
HOUR_US = 3_600_000_000


def backup_id(hours: float, number: int = 1) -> str:
    """The id of a backup made so many hours after the beginning of 2025."""
    stamp = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=hours)
    return f"{stamp:%Y%m%dT%H%M%SZ}" + (f"-{number}" if number > 1 else "")


def time_us(hours: float) -> int:
    beginning = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    return int(beginning.timestamp() * 1e6) + int(hours * HOUR_US)


def entry(
    hours: float,
    *,
    needs: Iterable[str] = (),
    number: int = 1,
    sealed: int = 0,
    log: Sequence[LogSegment] = (),
    position: int = 0,
    history: str = "h",
    continues: str | None = None,
    last_write_hours: float | None = None,
    sequence: int = 0,
) -> CatalogEntry:
    """A backup that refers to files in the archives `needs`."""
    own = backup_id(hours, number)
    files = [
        StoredFile(
            name=_file_of(archive),
            size_bytes=1,
            digest=NO_DIGEST,
            manifest_digest=NO_DIGEST,
            archive=archive,
        )
        for archive in (own, *needs)
    ]
    manifest = StoredFile(name="MANIFEST", size_bytes=1, digest=NO_DIGEST, manifest_digest="", archive=own)
    written = hours if last_write_hours is None else last_write_hours
    record = Record(
        id=own,
        backup_type="Incremental" if len(files) > 1 else "Full",
        parent_id=None,
        continues=continues,
        sequence=sequence,
        created_us=time_us(hours),
        description="",
        program="0",
        dimension=1,
        metric=Metric.COSINE,
        history=history,
        documents=0,
        sealed_lsn=sealed,
        sealed_time_us=time_us(0),
        position=Position(lsn=position or sealed, time_us=time_us(written), checksum=0, mark=""),
        files=(*files, manifest),
        log=tuple(log),
    )
    return CatalogEntry(record, 1)


def _file_of(archive: str) -> str:
    """The name of a file that this archive alone holds."""
    number = int(archive.replace("T", "").replace("Z", "").replace("-", ""))
    return f"segment_{number % 10**12:012d}.rows"


def segment(number: int, first: int, last: int, archive: str) -> LogSegment:
    """A WAL segment wholly in one archive."""
    piece = LogPiece(start=0, end=64, digest=NO_DIGEST, archive=archive)
    return LogSegment(
        name=f"wal_{number:012d}.wal",
        base_lsn=first,
        last_lsn=last,
        end_offset=64,
        created_us=time_us(first),
        first_time_us=time_us(first),
        last_time_us=time_us(last),
        pieces=(piece,),
    )


def catalog(entries: Iterable[CatalogEntry]) -> Catalog:
    return Catalog(newest_first(entries))
