"""A trial recovery: does a data directory hold what it should, and can it be searched?

Done without the engine, by other means that must come to the same: every byte is proved, the documents are put
together from segments and log and counted, and some are searched for by scanning all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup.offline_reader import Recovered
from pykyro.model.distance import similarities
from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN, Metric
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.verify import verify_directory

_PROBES: Final = 8


@dataclass(frozen=True, slots=True)
class TrialReport:
    """Live documents, the last position, bytes proved, and how many documents were searched for and found."""

    documents: int
    lsn: LSN
    size_bytes: int
    searches: int


def try_recovery(filesystem: FileSystem, directory: Path) -> TrialReport:
    """Recover a directory that no server is changing, in memory. Raises DataDamaged, OSError."""
    proved = verify_directory(filesystem, directory)
    if proved.damage:
        raise DataDamaged(proved.damage[0], path=directory)
    recovered = Recovered(filesystem, directory)
    metric = recovered.manifest.metric
    probes = recovered.some(_PROBES)
    for document in probes:
        own = float(similarities(document.vector[None, :], document.vector, metric)[0])
        _, best = recovered.nearest(document.vector)
        # Nothing is nearer to a vector than itself, except by inner product, where a longer one may be.
        if best < own or (metric is not Metric.INNER_PRODUCT and best > own + abs(own) * 1e-9):
            raise DataDamaged(
                f"a search for document {document.doc_id} finds similarity {best}, its own is {own}",
                path=directory,
            )
    return TrialReport(recovered.count, proved.last_lsn, proved.size_bytes, len(probes))
