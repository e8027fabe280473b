"""Resident memory of a real server against the formula of docs/configuration.md (pykyro.config.settings.memory).

Each server holds as many documents as its configuration allows, has been searched, and has answered lookups until
its document cache is full. Mapped rows are not counted.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.server.running import RunningServer, running_server

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, show
from pykyro.config import Settings
from pykyro.config.settings.memory import memory_need
from pykyro.engine.engine import open_engine
from pykyro.engine.options import SEAL_ROWS
from pykyro.proto import kyrodb_pb2 as pb

_SEARCHES = 1000
_SETTLE_S = 8
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, and how many of the documents it allows there are."""

    documents: int
    dimension: int
    m: int = 16
    capacity: int = 1000

    def __str__(self) -> str:
        return f"{self.documents:,} documents of {self.dimension}, hnsw.m {self.m}, cache.capacity {self.capacity:,}"

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "hnsw": {"dimension": self.dimension, "max_elements": self.documents, "m": self.m},
                "cache": {"capacity": self.capacity},
            }
        )


CASES = (
    Case(10_000, 384),
    Case(10_000, 384, m=64),
    Case(20_000, 384, capacity=20_000),
    Case(6_000, 768, capacity=6_000),
    Case(4_000, 1536, m=32, capacity=4_000),
)


def fill(directory: Path, case: Case) -> dataset.Dataset:
    """A database with one segment."""
    data = dataset.made_up(case.documents, case.dimension)
    options = dataclasses.replace(
        store.options(data), m=case.m, ef_construction=max(60, case.m), documents_max=case.documents
    )
    engine = open_engine(directory, options)
    store.fill(engine, data)
    engine.flush()
    engine.close()
    return data


def use(server: RunningServer, data: dataset.Dataset, capacity: int) -> None:
    """Fill the hot tier up to where it is sealed, the query cache, and the document cache."""
    for doc_id in range(1, min(capacity, SEAL_ROWS)):
        server.stub.UpdateMetadata(pb.UpdateMetadataRequest(doc_id=doc_id, metadata={"source": "new"}))
    for at in range(_SEARCHES):
        question = data.queries[at % len(data.queries)].tolist()
        server.stub.Search(pb.SearchRequest(query_embedding=question, k=10))
    for _ in range(2):
        for doc_id in range(1, 1 + min(capacity, len(data.rows))):
            server.stub.Query(pb.QueryRequest(doc_id=doc_id))
    # Only now are the entries of the query cache brought into memory, to be compared with what was written.
    server.stub.UpdateMetadata(pb.UpdateMetadataRequest(doc_id=1, metadata={"source": "newer"}))


def occupied(process: psutil.Process) -> int:
    """Resident bytes without those of mapped data files, which the system takes back whenever it wants them."""
    maps = process.memory_maps(grouped=True)
    return sum(one.rss for one in maps if not one.path.endswith((".rows", ".graph")))


def measured(case: Case) -> int:
    """Resident bytes of the server of this case."""
    settings: dict[str, Any] = {
        "hnsw__dimension": case.dimension,
        "hnsw__max_elements": case.documents,
        "hnsw__m": case.m,
        "cache__capacity": case.capacity,
    }
    with tempfile.TemporaryDirectory() as directory:
        data = fill(Path(directory) / "data", case)
        with running_server(Path(directory), **settings) as server:
            use(server, data, case.capacity)
            time.sleep(_SETTLE_S)
            return occupied(psutil.Process(server.process.pid))


def main() -> None:
    arguments(__doc__)
    rows = []
    for case in CASES:
        used = measured(case)
        need = memory_need(case.settings, case.documents)
        rows.append(
            Row(
                f"resident memory, {case}",
                f"{used / _MIB:.0f} MiB",
                f"formula {need.total_bytes / _MIB:.0f} MiB",
                used / need.total_bytes,
                "0.9 to 1.1",
            )
        )
    show(rows)


if __name__ == "__main__":
    main()
