"""The words every package shares: documents, scopes, metrics, positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

LSN: TypeAlias = int
"""Log sequence number: the position of a WAL frame. The first frame has 1; 0 means "before everything"."""

Vector: TypeAlias = npt.NDArray[np.float32]
"""Shape (dimension,), float32, C-contiguous."""
Matrix: TypeAlias = npt.NDArray[np.float32]
"""Shape (rows, dimension), float32, C-contiguous."""
Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers inside one tier, shape (n,)."""
Bits: TypeAlias = npt.NDArray[np.uint8]
"""A packed bitmap: bit r & 7 of byte r >> 3 belongs to row r."""

TENANT_ID_KEY: Final = "__tenant_id__"
TENANT_INDEX_KEY: Final = "__tenant_idx__"
NAMESPACE_KEY: Final = "__namespace__"
RESERVED_KEYS: Final = frozenset({TENANT_ID_KEY, TENANT_INDEX_KEY, NAMESPACE_KEY})
"""Metadata keys the database writes itself; filters may name them, clients never see or set them."""

TENANT_SHIFT: Final = 32
"""A stored id is the number of its tenant, shifted up by so many bits, plus the id the client knows it by."""

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""Bytes that can be written or hashed without copying them first; an array's are its `.data`."""


class Metric(Enum):
    """How far apart two vectors are."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    INNER_PRODUCT = "innerproduct"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents a request may see: one tenant's (None = no tenants) and one namespace's ("" = all)."""

    tenant: int | None = None
    namespace: str = ""

    @property
    def constraints(self) -> dict[str, str]:
        """The reserved metadata entries a document must carry to be in this scope."""
        entries = {} if self.tenant is None else {TENANT_INDEX_KEY: str(self.tenant)}
        if self.namespace:
            entries[NAMESPACE_KEY] = self.namespace
        return entries

    def admits(self, metadata: Mapping[str, str]) -> bool:
        """Whether a document with this stored metadata is in scope."""
        return all(metadata.get(key) == value for key, value in self.constraints.items())


EVERYTHING: Final = Scope()


@dataclass(slots=True)
class Document:
    """A stored document: `metadata` holds the reserved keys too. Handed to the engine, neither it nor the vector
    may change any more."""

    doc_id: int
    vector: Vector
    metadata: Mapping[str, str] = field(default_factory=dict)
