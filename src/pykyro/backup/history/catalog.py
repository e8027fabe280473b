"""Which backups there are. An archive is a backup; its label saves reading the archive to know what it is.

A label is JSON with the keys that users' scripts know from `list --format json`, sealed by a digest, and the
record of the archive. A label that is missing or damaged is made again, in memory, from the archive; one whose
archive is gone says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from pykyro.backup import filename
from pykyro.backup.archive.reader import open_archive
from pykyro.backup.archive.record import Count, Digest, Record, seal_json, unseal_json
from pykyro.backup.history.order import oldest_first
from pykyro.backup.target.target import Target
from pykyro.model.errors import DataDamaged, InvalidArgument, StorageError
from pykyro.model.limits import BACKUP_RECORD_BYTES_MAX

_LABEL_BYTES_MAX: Final = BACKUP_RECORD_BYTES_MAX + (1 << 20)


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A backup as the catalog knows it. `digest` of the whole archive is "" until it was read."""

    record: Record
    size_bytes: int
    digest: str = ""
    verified_us: int = 0

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def checksum(self) -> int:
        """32 bits of the digest, the form that users' scripts know."""
        return int(self.digest[:8] or "0", 16)


@dataclass(slots=True)
class Catalog:
    """All backups of a target, the one made last first, and a line for everything that is not as it should be.

    `damaged` are archives that cannot be used, `orphans` labels whose archive is gone.
    """

    entries: list[CatalogEntry] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ids_taken: set[str] = field(default_factory=set)
    _records: dict[str, Record] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)
    _members: dict[str, dict[str, tuple[int, str]]] = field(default_factory=dict)

    def find(self, backup_id: str) -> CatalogEntry:
        """Raises InvalidArgument when there is no such backup."""
        for entry in self.entries:
            if entry.id == backup_id:
                return entry
        raise InvalidArgument(f"Backup {backup_id} not found", field="backup_id")

    def record(self, backup_id: str | None) -> Record | None:
        """The record of a backup, None when it is not there."""
        if len(self._records) != len(self.entries):
            self._records = {entry.id: entry.record for entry in self.entries}
        return self._records.get(backup_id or "")

    def missing(self, entry: CatalogEntry) -> list[str]:
        """Archives this backup needs and that are gone or damaged, oldest first."""
        return sorted(entry.record.needs - {other.id for other in self.entries})

    def chain(self, entry: CatalogEntry) -> list[CatalogEntry]:
        """The backup and all it needs, oldest first; those that are gone are left out."""
        wanted = entry.record.needs | {entry.id}
        return [other for other in reversed(self.entries) if other.id in wanted]

    def fault(self, entry: CatalogEntry) -> str:
        """Why a backup cannot be restored, as far as the records tell; "" when they tell nothing against it."""
        if entry.id not in self._faults:
            self._faults[entry.id] = self._find_fault(entry)
        return self._faults[entry.id]

    def restorable(self) -> list[CatalogEntry]:
        """Backups with all they need, the one made last first."""
        return [entry for entry in self.entries if not self.fault(entry)]

    def _find_fault(self, entry: CatalogEntry) -> str:
        missing = self.missing(entry)
        if missing:
            return f"it needs {', '.join(missing)}, which is gone or damaged"
        if not self._members:
            self._members = {other.id: other.record.members for other in self.entries}
        for archive, name, facts in entry.record.parts:
            if self._members[archive].get(name) != facts:
                return f"the archive of backup {archive} holds a {name} that differs from the one this backup needs"
        return ""


def read_catalog(target: Target) -> Catalog:
    """Raises OSError. Damaged entries become warnings."""
    catalog = Catalog()
    sizes = target.sizes()
    labels = {backup_id for name in sizes if (backup_id := filename.entry_id(name))}
    archives = {backup_id for name in sizes if (backup_id := filename.archive_id(name))}
    catalog.ids_taken = labels | archives
    catalog.orphans = sorted(labels - archives)
    for backup_id in catalog.orphans:
        catalog.warnings.append(f"{filename.entry(backup_id)} has no archive; prune removes it")
    for backup_id in sorted(archives):
        try:
            entry = _read_entry(target, backup_id, backup_id in labels, catalog.warnings)
            _require_size(target, entry, sizes[filename.archive(backup_id)])
            catalog.entries.append(entry)
        except FileNotFoundError:
            # It was pruned since its name was read.
            continue
        except StorageError as error:
            catalog.damaged.append(backup_id)
            catalog.warnings.append(str(error))
    catalog.entries = newest_first(catalog.entries)
    return catalog


def newest_first(entries: Iterable[CatalogEntry]) -> list[CatalogEntry]:
    """By when they were made, whatever the clock said: order.py."""
    known = {entry.id: entry for entry in entries}
    ordered = oldest_first([entry.record for entry in known.values()])
    return [known[record.id] for record in reversed(ordered)]


def write_label(target: Target, entry: CatalogEntry) -> None:
    """Make the label durable. Raises OSError."""
    content = summary(entry) | {
        "archive_digest": entry.digest,
        "verified_us": entry.verified_us,
        "record": entry.record.model_dump(mode="json"),
    }
    target.put(filename.entry(entry.id), seal_json(json.dumps(content, indent=1).encode()))


def mark_verified(target: Target, entry: CatalogEntry, digest: str, now_us: int) -> CatalogEntry:
    """Note in the label that every byte was read and found right. Raises OSError."""
    verified = replace(entry, digest=digest, verified_us=now_us)
    write_label(target, verified)
    return verified


def summary(entry: CatalogEntry) -> dict[str, Any]:
    """The keys by which KyroDB users know a backup, and a few more."""
    record = entry.record
    return {
        "id": record.id,
        "timestamp": record.created_us // 1_000_000,
        "backup_type": record.backup_type,
        "size_bytes": entry.size_bytes,
        "vector_count": record.documents,
        "checksum": entry.checksum,
        "parent_id": record.parent_id,
        "description": record.description,
        "full_because": record.full_because or None,
        "sequence": record.sequence,
        "created_us": record.created_us,
        "position": record.position.lsn,
        "position_time_us": record.position.time_us,
        "sealed_position": record.sealed_lsn,
        "log_from_position": record.log[0].base_lsn - 1 if record.log else record.position.lsn,
        "continues": record.continues,
        "history": record.history,
        "branched_from": record.branched_from and record.branched_from.model_dump(),
        "chain": [*sorted(record.needs), record.id],
        "dimension": record.dimension,
        "distance": record.metric.value,
        "program": record.program,
        "verified_at": entry.verified_us // 1_000_000 or None,
    }


class _Label(BaseModel):
    """What is read back of a label; the rest repeats the record."""

    model_config = ConfigDict(extra="ignore")

    size_bytes: Count
    archive_digest: Digest
    verified_us: Count
    record: Record


def _read_entry(target: Target, backup_id: str, has_label: bool, warnings: list[str]) -> CatalogEntry:
    if has_label:
        try:
            label = _read_label(target, backup_id)
        except ValueError as error:
            warnings.append(f"{filename.entry(backup_id)} is damaged and ignored: {error}")
        else:
            return CatalogEntry(label.record, label.size_bytes, label.archive_digest, label.verified_us)
    archive = open_archive(target, backup_id)
    return CatalogEntry(archive.record, archive.size_bytes)


def _require_size(target: Target, entry: CatalogEntry, found_bytes: int) -> None:
    if found_bytes != entry.size_bytes:
        raise DataDamaged(
            f"archive has {found_bytes} bytes, {entry.size_bytes} were written",
            path=f"{target.location}/{filename.archive(entry.id)}",
            hint="Use another backup",
        )


def _read_label(target: Target, backup_id: str) -> _Label:
    source = target.open(filename.entry(backup_id))
    if source.size_bytes > _LABEL_BYTES_MAX:
        raise ValueError(f"{source.size_bytes} bytes exceed {_LABEL_BYTES_MAX}")
    try:
        label = _Label.model_validate_json(unseal_json(bytes(source.read(0, source.size_bytes))))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None
    if label.record.id != backup_id:
        raise ValueError(f"it belongs to backup {label.record.id}")
    return label
