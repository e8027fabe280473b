"""The names in a backup directory and inside an archive; their patterns stand in storage/filename.py.

    backup_20250601T120000Z.tar     an archive: it alone is the backup, see archive/format.py
    backup_20250601T120000Z.json    its label in the catalog, which can be made again from the archive
    collections_20250601T120000Z.json  the collections that belong to it, see collections.py
    collections.json                every collection that has backups here, in collections/<number>/
    LOCK                            who is changing the directory
    *.tmp                           being written; worthless after a crash

Members of an archive have the names of the data directory (storage/filename.py), except for these:

    BACKUP.json                     what the archive says about itself, see record.py
    wal_000000000007.wal.8192       the rest of a WAL segment, after its first 8192 bytes
"""

from __future__ import annotations

import re
from typing import Final

from pykyro.storage import filename

RECORD: Final = "BACKUP.json"
LOCK: Final = "LOCK"
COLLECTIONS: Final = "collections"
KNOWN_COLLECTIONS: Final = "collections.json"

BACKUP_ID_PATTERN: Final = filename.BACKUP_ID_PATTERN

BESIDE_MANIFEST: Final = (filename.USAGE, filename.LEGACY_TENANTS)
"""Files of the database that no MANIFEST names; each is replaced as a whole."""


def archive(backup_id: str) -> str:
    return f"backup_{backup_id}.tar"


def entry(backup_id: str) -> str:
    return f"backup_{backup_id}.json"


def collection_set(backup_id: str) -> str:
    return f"collections_{backup_id}.json"


def is_backup_id(text: str) -> bool:
    return re.fullmatch(BACKUP_ID_PATTERN, text) is not None


def archive_id(name: str) -> str | None:
    """The backup that an archive of this name is, or None."""
    match = filename.BACKUP_ARCHIVE.fullmatch(name)
    return match and match["id"]


def entry_id(name: str) -> str | None:
    """The backup that a label of this name belongs to, or None."""
    match = filename.BACKUP_LABEL.fullmatch(name)
    return match and match["id"]


def is_leftover(name: str) -> bool:
    """Whether a crash while writing an archive or a label left this behind."""
    whole = name.removesuffix(filename.TEMPORARY_SUFFIX)
    if whole == name:
        return False
    return whole.startswith(COLLECTIONS) or (archive_id(whole) or entry_id(whole)) is not None


def piece(segment: str, start: int) -> str:
    """The member that holds a WAL segment from byte `start`."""
    return f"{segment}.{start}" if start else segment


def is_member(name: str) -> bool:
    """Whether this program gives members such names."""
    if name in (filename.MANIFEST, RECORD, *BESIDE_MANIFEST):
        return True
    if filename.WAL_PIECE.fullmatch(name):
        return True
    return filename.is_data_file(name) and not name.endswith(filename.TEMPORARY_SUFFIX)
