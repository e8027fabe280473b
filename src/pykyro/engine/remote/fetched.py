"""Rows that were read from the table: those a search found, and those that were asked for lately.

A row of the table never changes, so what was read of one stays true of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.remote.table import Documents
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.memory.account import Account
from pykyro.model.requests import Tier
from pykyro.model.types import LSN, Matrix, Rows, Vector

_DOCUMENTS_MAX: Final = 4096
_BYTES_MAX: Final = 16 << 20
_OBJECT_BYTES: Final = 400


class FetchedRows:
    """The rows a search found, numbered from 0 in their order."""

    kind = Tier.COLD

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def vector(self, row: int) -> Vector:
        vector: Vector = self._documents.vectors[row]
        vector.flags.writeable = False
        return vector

    def position_of(self, row: int) -> LSN:
        return int(self._documents.positions[row])

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        return [self._documents.public[row] for row in rows]

    def public_bytes(self, rows: Sequence[int]) -> int:
        return sum(len(self._documents.public[row]) for row in rows)

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        documents = self._documents
        return documents.doc_ids[rows], documents.vectors[rows], documents.norms[rows]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return self._documents.doc_ids[rows]


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One row."""

    doc_id: int
    vector: Vector
    metadata: StoredMetadata
    position: LSN

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        return self.vector.nbytes + len(self.metadata.public) + len(self.metadata.reserved) + _OBJECT_BYTES


class RecentRows:
    """Rows read lately by their numbers: who finds a document asks for it once or twice more at once. Thread-safe."""

    def __init__(self, account: Account) -> None:
        self._charge = account.charge()
        self._lock = threading.Lock()
        self._rows: OrderedDict[int, ReadRow] = OrderedDict()
        self._bytes = 0

    def get(self, row: int) -> ReadRow | None:
        with self._lock:
            return self._rows.get(row)

    def keep(self, documents: Documents) -> dict[int, ReadRow]:
        """Keep these; they are returned by their numbers, whether they stay or not."""
        read = {}
        for at, row in enumerate(documents.rows.tolist()):
            # Copies: a view would keep all vectors that were read with it.
            vector = documents.vectors[at].copy()
            vector.flags.writeable = False
            metadata = StoredMetadata(documents.public[at], documents.reserved[at])
            read[row] = ReadRow(int(documents.doc_ids[at]), vector, metadata, int(documents.positions[at]))
        with self._lock:
            for row, one in read.items():
                if row not in self._rows:
                    self._rows[row] = one
                    self._bytes += one.size_bytes
            while len(self._rows) > _DOCUMENTS_MAX or self._bytes > _BYTES_MAX:
                _, gone = self._rows.popitem(last=False)
                self._bytes -= gone.size_bytes
            self._charge.set(self._bytes)
        return read

    def forget(self) -> None:
        """Let go of all."""
        with self._lock:
            self._rows.clear()
            self._bytes = 0
            self._charge.give_back()
