"""Keeping usage through a crash.

    file  = "KYRODB-USAGE 1 " digest-of-the-rest LF  JSON
    JSON  = { tenant_id: [queries, inserts, deletes] }

The whole file is replaced whenever something has changed since the last time, once a second, away from the path
of any write: a crash loses a second of counting and never a count from before.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Final

from pykyro.model.limits import COUNT_MAX, USAGE_FILE_BYTES_MAX
from pykyro.storage import filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file
from pykyro.tenancy.usage import TenantUsage, UsageLedger, as_csv

_MAGIC: Final = b"KYRODB-USAGE 1 "
DAMAGED_SUFFIX: Final = ".damaged"


class UsageFile:
    """The file of one data directory, which its owner has locked."""

    def __init__(self, filesystem: FileSystem, directory: Path, ledger: UsageLedger) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._ledger = ledger
        self._saving = threading.Lock()
        self._saved: dict[str, tuple[int, int, int]] = {}

    def load(self) -> str:
        """Go on from the counts in the file; its fault, "" for none.

        A damaged file is set aside: counting, and so serving, goes on from zero. Raises OSError.
        """
        path = self._directory / filename.USAGE
        if not self._filesystem.exists(path):
            return ""
        try:
            self._saved = decode_counts(self._filesystem.read(path, limit=USAGE_FILE_BYTES_MAX))
        except ValueError as error:
            aside = path.with_name(path.name + DAMAGED_SUFFIX)
            self._filesystem.replace(path, aside)
            return f"usage counts start from zero: {path}: {error}; it is kept as {aside.name}"
        self._ledger.load(self._saved)
        return ""

    def save(self) -> bool:
        """Write the changes since the last time; whether anything had. Raises OSError."""
        with self._saving:
            counts = self._ledger.counts()
            if counts == self._saved:
                return False
            replace_file(self._filesystem, self._directory, filename.USAGE, encode_counts(counts))
            self._saved = counts
            return True

    def export(self, rows: list[TenantUsage], unix_s: int, *, at_shutdown: bool = False) -> None:
        """Write tenant_usage_latest.csv, and at shutdown a copy that stays. Raises OSError."""
        data = as_csv(rows, unix_s).encode()
        names = [filename.USAGE_CSV] + ([filename.usage_shutdown_csv(unix_s)] if at_shutdown else [])
        with self._saving:
            for name in names:
                replace_file(self._filesystem, self._directory, name, data)


def encode_counts(counts: dict[str, tuple[int, int, int]]) -> bytes:
    body = json.dumps(counts, separators=(",", ":")).encode()
    return _MAGIC + digest(body).encode() + b"\n" + body


def decode_counts(data: bytes) -> dict[str, tuple[int, int, int]]:
    """Reads the output of `encode_counts`. Raises ValueError for anything else."""
    head, separator, body = data.partition(b"\n")
    if not separator or not head.startswith(_MAGIC):
        raise ValueError("is not a usage file of format 1")
    if head.removeprefix(_MAGIC) != digest(body).encode():
        raise ValueError("does not match its digest")
    try:
        tenants = json.loads(body)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(tenants, dict):
        raise ValueError("holds no counts of tenants")
    return {tenant_id: _counts(values) for tenant_id, values in tenants.items()}


def _counts(values: object) -> tuple[int, int, int]:
    match values:
        case [int(queries), int(inserts), int(deletes)] if all(0 <= v <= COUNT_MAX for v in values):
            return queries, inserts, deletes
    raise ValueError(f"holds {values!r} where three counts belong")
