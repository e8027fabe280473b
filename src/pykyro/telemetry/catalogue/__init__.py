"""Every metric that /metrics can export: name, type, unit, labels and help text, declared here and nowhere else.

service/measurements.py gives the declared metrics their values, `kyrodb top` and `kyrodb doctor` read them by these
declarations, and telemetry/document.py writes the tables of docs/metrics.md from them.
"""

from __future__ import annotations

from typing import Final

from pykyro.telemetry.catalogue import process, requests, searches, storage
from pykyro.telemetry.catalogue.declaration import Instrument, MetricGroup

SECTIONS: Final[tuple[MetricGroup, ...]] = (
    requests.REQUESTS,
    requests.OBJECTIVES,
    searches.SEARCH,
    searches.DOCUMENT_CACHE,
    storage.DOCUMENTS_AND_TIERS,
    storage.LOG_AND_DISK,
    storage.COLLECTIONS_SECTION,
    storage.ARCHIVE,
    process.PROCESS_AND_RECOVERY,
)
"""In the order of docs/metrics.md."""

METRICS: Final[tuple[Instrument, ...]] = tuple(metric for section in SECTIONS for metric in section.metrics)
