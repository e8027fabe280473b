"""Databases to be exported, and what is in them: read from the files, without what is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.engine.opening import open_small
from tests.model.values import values

from pykyro.backup.offline_reader import OfflineReader
from pykyro.migration.directory_documents import PortableDocument, stored_document
from pykyro.model.requests import Delete, Put, UpdateMetadata
from pykyro.model.typed_text import tag_of
from pykyro.model.types import NAMESPACE_KEY, RESERVED_KEYS, TENANT_ID_KEY, Document, Metric, Scope
from pykyro.model.values import text_form
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.wal.log import SyncPolicy

DIMENSION = 3
Content = dict[tuple[str, int], tuple[bytes, dict[str, tuple[str, str]], str]]
"""By tenant and the id it knows: the vector's bytes, the client's metadata with its types, the namespace."""

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)
_values = (_texts | values).map(lambda value: text_form(value, "x"))
_keys = _texts.filter(lambda key: key not in RESERVED_KEYS)


@st.composite
def documents(draw: st.DrawFn, tenants: Sequence[str] = ("", "acme", "b_2")) -> list[PortableDocument]:
    """Up to thirty documents, ids unique for each tenant; any finite float32, any text, values of all types."""
    found: dict[tuple[str, int], PortableDocument] = {}
    for _ in range(draw(st.integers(0, 30))):
        tenant = draw(st.sampled_from(tenants))
        doc_id = draw(st.integers(1, 2**64 - 1) | st.integers(1, 9) | st.integers(2**32 - 3, 2**32 + 9))
        found[tenant, doc_id] = PortableDocument(
            doc_id,
            np.array(draw(_vectors), dtype=np.float32),
            draw(st.dictionaries(_keys, _values, max_size=4)),
            draw(st.sampled_from(["", "n0", "名"])),
            tenant,
        )
    return list(found.values())


def build(directory: Path, wanted: Sequence[PortableDocument], *, dimension: int = DIMENSION) -> None:
    """A database that holds these documents: some sealed, some in the log, some changed, others deleted."""
    engine = open_small(directory, dimension=dimension, metric=Metric.EUCLIDEAN, sync=SyncPolicy.NONE)
    indices = engine.tenant_indices(sorted({document.tenant for document in wanted if document.tenant}))
    stored = [stored_document(document, indices.get(document.tenant)) for document in wanted]
    half = len(stored) // 2
    for document in stored[:half]:
        reserved = Scope(document.tenant).constraints
        other = Document(document.doc_id, document.vector + 1, {"old": "1", **reserved}, document.tenant)
        engine.write(Put(other))
    engine.flush()
    for document in stored:
        engine.write(Put(document))
    gone = PortableDocument(2**62 + 1, np.ones(dimension, np.float32), {})
    engine.write(Put(stored_document(gone, None)))
    if half % 2:
        engine.flush()
    engine.write(Delete(gone.doc_id))
    for document in stored[half:]:
        own = Scope(document.tenant)
        engine.write(UpdateMetadata(document.doc_id, dict(document.metadata), merge=True, scope=own))
    engine.close()


def with_tags(metadata: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {key: (tag_of(text), text) for key, text in metadata.items()}


def content(directory: Path) -> Content:
    """Every document of a database that is not open."""
    recovered = OfflineReader(LocalFileSystem(), directory)
    found: Content = {}
    for document in recovered.documents():
        tenant = document.metadata.get(TENANT_ID_KEY, "")
        assert recovered.manifest.tenants.get(tenant) == document.tenant
        doc_id = document.doc_id
        public = {
            key: value for key, value in with_tags(document.metadata).items() if key not in RESERVED_KEYS
        }
        found[tenant, doc_id] = (document.vector.tobytes(), public, document.metadata.get(NAMESPACE_KEY, ""))
    return found


def content_of(wanted: Sequence[PortableDocument]) -> Content:
    return {
        (document.tenant, int(document.doc_id)): (
            document.vector.tobytes(),
            with_tags(document.metadata),
            document.namespace,
        )
        for document in wanted
    }


def many(count: int, *, dimension: int = DIMENSION, seed: int = 0, **fields: Any) -> list[PortableDocument]:
    """Random documents with ids from 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return [
        PortableDocument(at, vector, {"at": str(at), "text": "é\n" * (at % 5)}, f"n{at % 3}", **fields)
        for at, vector in enumerate(vectors, 1)
    ]
