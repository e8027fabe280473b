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
TEXT_ID_KEY: Final = "__id__"
"""Where the id of a document is text, it stands here: its key is only where to look for it."""
EXPIRES_AT_KEY: Final = "__expires_at_us__"
KEPT_APART: Final = frozenset({TENANT_ID_KEY, TENANT_INDEX_KEY, NAMESPACE_KEY, EXPIRES_AT_KEY})
"""Those of RESERVED_KEYS that are not among the bytes a client gets."""
RESERVED_KEYS: Final = KEPT_APART | {TEXT_ID_KEY}
"""Metadata keys the database writes itself; filters may name them, clients never see or set them."""

AnyId: TypeAlias = int | str
"""The id of a document as its client knows it: text in a collection whose ids are text, else an integer."""

Key: TypeAlias = int
"""What tells stored documents apart: the id, 64 bits as the client sent it, and above them the number of the owner.
So the key of a document of no tenant is its id."""

OWNER_SHIFT: Final = 64
NOBODY: Final = 0
"""The owner of documents of no tenant. A tenant's is its number plus one, because tenants' numbers start at 0."""
DOC_ID_BITS: Final = (1 << OWNER_SHIFT) - 1


KEY_MAX: Final = (1 << OWNER_SHIFT + 33) - 1
"""No key is larger: tenants' numbers have 32 bits."""


def owner_of(tenant: int | None) -> int:
    """The owner of a tenant's documents; None is no tenant."""
    return NOBODY if tenant is None else tenant + 1


def key_of(tenant: int | None, doc_id: int) -> Key:
    """The key of the document that this tenant, None being none, knows as `doc_id`."""
    return doc_id if tenant is None else tenant + 1 << OWNER_SHIFT | doc_id


def key_of_owner(owner: int, doc_id: int) -> Key:
    """The key of a document of this owner."""
    return owner << OWNER_SHIFT | doc_id


def tenant_of(owner: int) -> int | None:
    """The tenant an owner is; None for NOBODY."""
    return None if owner == NOBODY else owner - 1


def key_owner(key: Key) -> int:
    """The owner in a key."""
    return key >> OWNER_SHIFT


def key_doc_id(key: Key) -> int:
    """The id in a key."""
    return key & DOC_ID_BITS


BytesLike: TypeAlias = bytes | bytearray | memoryview
"""Bytes that can be written or hashed without copying them first; an array's are its `.data`."""


class Metric(Enum):
    """How far apart two vectors are."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    INNER_PRODUCT = "innerproduct"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents a request may see: those of one tenant, None being those of no tenant, and of one namespace,
    "" being all."""

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
        if self.tenant is None and TENANT_INDEX_KEY in metadata:
            return False
        return all(metadata.get(key) == value for key, value in self.constraints.items())


EVERYTHING: Final = Scope()
"""All documents of no tenant: everything there is, where there are no tenants."""


@dataclass(slots=True)
class Document:
    """A stored document. `doc_id` is the id its client knows it by; `metadata` holds the reserved keys too. Handed to
    the engine, neither it nor the vector may change any more. Where ids are text, the id is the metadata entry
    TEXT_ID_KEY, and `doc_id` is 0 or belongs to the key under which the document is kept."""

    doc_id: int
    vector: Vector
    metadata: Mapping[str, str] = field(default_factory=dict)
    tenant: int | None = None

    @property
    def own_id(self) -> AnyId:
        """The id its client knows it by, of either type."""
        return self.metadata.get(TEXT_ID_KEY, self.doc_id)

    @property
    def key(self) -> Key:
        """What tells it apart from every other document."""
        return key_of(self.tenant, self.doc_id)
