"""The names of files in a data directory, and the patterns of all names; this file alone knows them.

    MANIFEST                      what belongs to the database, see manifest.py
    LOCK                          who has it open
    POSITION                      up to where readers in other processes may read the log, see position_file.py
    wal_000000000007.wal          a segment of the log
    segment_000000000012.rows     a cold segment's documents and their metadata index
    segment_000000000012.graph    its HNSW graph
    segment_000000000012.shape    how rows became points of the graph, and how far to look in it
    segment_000000000012.spool.tmp  what is gathered for a .rows file while it is being built
    segment_000000000012_000000000031.dead   its rows deleted up to a checkpoint
    ids_000000000014.ids          the ids of documents whose rows are elsewhere, see id_map.py
    ARCHIVE                       what the directory is to an archive, see replication/role.py
    MOVING                        where its sealed documents are being moved, see move_note.py
    COLLECTIONS                   the other collections, see catalogue.py; the directory itself is `default`
    collections/7/                the directory of one of them, with a MANIFEST of its own
    snapshots/20260601T120000Z/   hard links that open as a database of their own
    tenant_usage.state            what each tenant did, see tenancy/usage_file.py; replaced as a whole
    tenant_usage_latest.csv       the same for spreadsheets, and tenant_usage_shutdown_<unix seconds>.csv
    predictor.state               what the document cache learned, see cache/predictor.py; worth little, may go
    tenants.json                  which tenant had which number in earlier versions, see legacy_tenants.py
    *.tmp                         being written; worthless after a crash

Numbers come from one counter in MANIFEST and are never used twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MANIFEST: Final = "MANIFEST"
LOCK: Final = "LOCK"
ARCHIVE: Final = "ARCHIVE"
POSITION: Final = "POSITION"
MOVING: Final = "MOVING"
SNAPSHOTS: Final = "snapshots"
CATALOGUE: Final = "COLLECTIONS"
COLLECTIONS: Final = "collections"
LEGACY_TENANTS: Final = "tenants.json"
USAGE: Final = "tenant_usage.state"
PREDICTOR: Final = "predictor.state"
"""What earlier versions learned of reads; nothing reads it any more."""
USAGE_CSV: Final = "tenant_usage_latest.csv"
TEMPORARY_SUFFIX: Final = ".tmp"

WAL_PATTERN: Final = r"wal_[0-9]{12}\.wal"
ENTRY_PATTERN: Final = r"(wal|segment|requests|ids)_[0-9_]+\.(wal|rows|graph|shape|dead|keys|ids)"
"""What MANIFEST may name."""
_BACKUP_ID: Final = r"[0-9]{8}T[0-9]{6}Z(-[1-9][0-9]{0,5})?"
BACKUP_ID_PATTERN: Final = rf"^{_BACKUP_ID}$"
BACKUP_ARCHIVE: Final = re.compile(rf"backup_(?P<id>{_BACKUP_ID})\.tar")
BACKUP_LABEL: Final = re.compile(rf"backup_(?P<id>{_BACKUP_ID})\.json")
WAL_PIECE: Final = re.compile(rf"(?P<segment>{WAL_PATTERN})\.(?P<start>[1-9][0-9]{{0,18}})")
"""Names in a backup directory and in an archive, see backup/filename.py."""

_OURS: Final = re.compile(
    rf"({WAL_PATTERN}|segment_\d{{12}}\.(rows|graph|shape|spool)|segment_\d{{12}}_\d{{12}}\.dead|requests_\d{{12}}\.keys|ids_\d{{12}}\.ids)(\.tmp)?|MANIFEST\.tmp"
)
_LOG: Final = re.compile(WAL_PATTERN)
_SNAPSHOT: Final = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_NUMBER: Final = re.compile(r"\d{12}")


def wal(number: int) -> str:
    return f"wal_{number:012d}.wal"


def segment_rows(number: int) -> str:
    return f"segment_{number:012d}.rows"


def segment_graph(number: int) -> str:
    return f"segment_{number:012d}.graph"


def segment_shape(number: int) -> str:
    return f"segment_{number:012d}.shape"


def segment_spool(number: int) -> str:
    return f"segment_{number:012d}.spool"


def segment_dead(number: int, version: int) -> str:
    return f"segment_{number:012d}_{version:012d}.dead"


def request_keys(number: int) -> str:
    return f"requests_{number:012d}.keys"


def id_map(number: int) -> str:
    return f"ids_{number:012d}.ids"


def usage_shutdown_csv(unix_s: int) -> str:
    return f"tenant_usage_shutdown_{unix_s}.csv"


def segment_files(number: int) -> set[str]:
    """Names that building a segment may leave behind, finished or not."""
    names = {segment_rows(number), segment_graph(number), segment_shape(number), segment_spool(number)}
    names |= {request_keys(number), id_map(number)}
    return names | {temporary(name) for name in names}


def temporary(name: str) -> str:
    return name + TEMPORARY_SUFFIX


def is_data_file(name: str) -> bool:
    """Whether the database itself gives files such names (MANIFEST and LOCK aside)."""
    return _OURS.fullmatch(name) is not None


def is_known(name: str) -> bool:
    """Whether the database itself gives a file such a name."""
    return is_data_file(name) or name in (
        MANIFEST,
        LOCK,
        POSITION,
        ARCHIVE,
        MOVING,
        CATALOGUE,
        LEGACY_TENANTS,
        USAGE,
        PREDICTOR,
        USAGE_CSV,
    )


def is_log_file(name: str) -> bool:
    """Whether a segment of the log has such a name."""
    return _LOG.fullmatch(name) is not None


def is_id_map(name: str) -> bool:
    """Whether a map of ids has such a name."""
    return name.endswith(".ids")


def is_graph(name: str) -> bool:
    """Whether a segment's graph has such a name, which is no section file."""
    return name.endswith(".graph")


def is_snapshot(name: str) -> bool:
    """Whether the database itself gives a directory below snapshots/ such a name."""
    return _SNAPSHOT.fullmatch(name) is not None


def largest_number(names: Iterable[str]) -> int:
    """The largest number in the names of data files, 0 when there is none."""
    return max(
        (int(number) for name in names if is_data_file(name) for number in _NUMBER.findall(name)), default=0
    )
