"""Tables with documents in them, without an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pykyro.engine.options import RemoteOptions
from pykyro.engine.remote.link import Link
from pykyro.engine.remote.rows import COLUMNS, copy_rows
from pykyro.engine.remote.schema import create_tables
from pykyro.engine.remote.table import RemoteTable
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import Metric

NAME = "0123456789abcdef"


class FilledTable:
    """A table whose documents are replaced as a test likes."""

    def __init__(self, services: Path) -> None:
        self._link = Link("kyrodb", RemoteOptions(services_file=services), "kyrodb test")
        self._connection = self._link.connect()
        with self._connection.transaction():
            create_tables(self._connection, NAME, dimension=1)
        self._connection.execute(
            "INSERT INTO kyrodb.collections (id, format, collection, dimension, metric, history, writer, holder) "
            "VALUES (%s, 1, '', 1, '', '', '', '')",
            [NAME],
        )
        self.table = RemoteTable(self._link, NAME, 1, Metric.EUCLIDEAN)
        self.table.writers.add("")

    def fill(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Documents with this metadata, with ascending ids from 0, instead of those that are there."""
        tier = HotTier(1, Metric.EUCLIDEAN)
        for doc_id, metadata in enumerate(rows):
            tier.put(doc_id, np.ones(1, np.float32), metadata, encode_metadata(metadata), doc_id + 1)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM kyrodb.rows_{NAME}")
            with cursor.copy(f"COPY kyrodb.rows_{NAME} ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
                for data in copy_rows(tier, tier.live_rows(), 0):
                    copy.write(data)

    def close(self) -> None:
        self._connection.close()
        self._link.close()
