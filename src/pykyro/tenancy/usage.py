"""The usage of each tenant, counted since the database was created.

Vectors and bytes are not counted here: the engine knows how many documents a tenant has, so they are asked of
it and can never drift away from the truth.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

MIB: Final = 1 << 20
GIB: Final = 1 << 30
CSV_COLUMNS: Final = (
    "tenant_id",
    "query_count",
    "insert_count",
    "delete_count",
    "vector_count",
    "storage_bytes",
    "storage_mb",
    "billable_events",
    "timestamp",
)


@dataclass(slots=True)
class Usage:
    """Counters of one tenant; whoever serves its calls adds to them.

    `queries` counts documents looked up (also those not found) and searches answered, `inserts` documents that
    were new, `deletes` documents that were there.
    """

    queries: int = 0
    inserts: int = 0
    deletes: int = 0


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """The usage of a tenant at one moment. `storage_bytes` are those of its vectors."""

    tenant_id: str
    query_count: int
    insert_count: int
    delete_count: int
    vector_count: int
    storage_bytes: int

    @property
    def billable_events(self) -> int:
        return self.query_count + self.insert_count + self.delete_count

    def as_json(self) -> dict[str, object]:
        """The tenant's object in /usage."""
        return {
            "tenant_id": self.tenant_id,
            "query_count": self.query_count,
            "insert_count": self.insert_count,
            "delete_count": self.delete_count,
            "vector_count": self.vector_count,
            "storage_bytes": self.storage_bytes,
            "storage_mb": self.storage_bytes / MIB,
            "storage_gb": self.storage_bytes / GIB,
            "billable_events": self.billable_events,
        }


@dataclass(slots=True)
class UsageLedger:
    """Counters of every tenant that ever did something."""

    _counters: dict[str, Usage] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Usage:
        """The counters of a tenant, to be added to. The same object for as long as the ledger lives."""
        return self._counters.setdefault(tenant_id, Usage())

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Queries, inserts and deletes of each tenant that has any. From any thread."""
        return {
            tenant_id: (usage.queries, usage.inserts, usage.deletes)
            for tenant_id, usage in list(self._counters.items())
            if usage.queries or usage.inserts or usage.deletes
        }

    def load(self, counts: Mapping[str, tuple[int, int, int]]) -> None:
        """Go on from these counts."""
        for tenant_id, (queries, inserts, deletes) in counts.items():
            self._counters[tenant_id] = Usage(queries, inserts, deletes)


def statement(
    counts: Mapping[str, tuple[int, int, int]],
    documents: Mapping[str, int],
    *,
    dimension: int,
    elsewhere: Iterable[tuple[int, Mapping[str, int]]] = (),
) -> list[TenantUsage]:
    """The usage of each tenant that did something or has documents, by tenant_id.

    `documents` are live documents by tenant_id, and `elsewhere` those of other collections, each with its dimension.
    """
    vectors: Counter[str] = Counter()
    components: Counter[str] = Counter()
    for width, stored in ((dimension, documents), *elsewhere):
        for tenant_id, count in stored.items():
            vectors[tenant_id] += count
            components[tenant_id] += count * width
    having = {tenant_id for tenant_id, count in vectors.items() if count}
    rows = []
    for tenant_id in sorted(having.union(counts)):
        queries, inserts, deletes = counts.get(tenant_id, (0, 0, 0))
        rows.append(
            TenantUsage(tenant_id, queries, inserts, deletes, vectors[tenant_id], components[tenant_id] * 4)
        )
    return rows


def as_json(rows: list[TenantUsage], generated_at: int) -> dict[str, object]:
    """The body of /usage. `generated_at` in seconds since the Unix epoch."""
    return {
        "generated_at": generated_at,
        "totals": {
            "query_count": sum(row.query_count for row in rows),
            "vector_count": sum(row.vector_count for row in rows),
            "storage_bytes": sum(row.storage_bytes for row in rows),
            "billable_events": sum(row.billable_events for row in rows),
        },
        "tenants": [row.as_json() for row in rows],
    }


def as_csv(rows: list[TenantUsage], timestamp: int) -> str:
    """The export file. `timestamp` in seconds since the Unix epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        writer.writerow(
            (
                row.tenant_id,
                row.query_count,
                row.insert_count,
                row.delete_count,
                row.vector_count,
                row.storage_bytes,
                f"{row.storage_bytes / MIB:.2f}",
                row.billable_events,
                timestamp,
            )
        )
    return text.getvalue()
