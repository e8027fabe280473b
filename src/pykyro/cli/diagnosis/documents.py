"""How many documents a data directory holds, those of the log that no segment has yet included."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pykyro.backup.source.document_count import live_keys
from pykyro.backup.source.source import capture
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import Manifest


@dataclass(frozen=True, slots=True)
class DocumentCount:
    """Live documents, and how many of them the log behind the last checkpoint holds, up to its end `position`."""

    documents: int
    in_log: int
    position: int


def count_documents(directory: Path, manifest: Manifest) -> DocumentCount:
    """Read the ids of the segments, and the log behind them; a server may be writing meanwhile.

    Raises FailedPrecondition, DataDamaged, OSError.
    """
    source = capture(LocalFileSystem(), directory, manifest.sealed_lsn)
    content = {file.entry.name: file.content for file in source.files}
    keys = [live_keys(directory, entry, content) for entry in source.manifest.segments]
    effect = source.log.effect
    return DocumentCount(effect.count_after(keys), effect.count_after([]), source.log.position.lsn)
