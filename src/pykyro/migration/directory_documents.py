"""The documents of a directory for an export, with the tenant and the namespace separated from their metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup.offline_reader import OfflineReader
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import NEVER_US, instant_us_of
from pykyro.model.types import (
    NAMESPACE_KEY,
    RESERVED_KEYS,
    TENANT_ID_KEY,
    TEXT_ID_KEY,
    AnyId,
    Document,
    Scope,
    Vector,
)
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest
from pykyro.system.clock import SystemClock


@dataclass(frozen=True, slots=True, eq=False)
class PortableDocument:
    """`doc_id` is the id its owner knows it by, an integer or a text; `namespace` and `tenant` are "" for none.
    `vector` has shape (dimension,), float32, and `metadata` holds the client's entries only."""

    doc_id: AnyId
    vector: Vector
    metadata: Mapping[str, str]
    namespace: str = ""
    tenant: str = ""
    expires_us: int = 0
    """When it goes, in microseconds since the Unix epoch; 0: never."""

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory."""
        return self.vector.nbytes + sum(len(key) + len(value) for key, value in self.metadata.items()) + 200


@dataclass(frozen=True, slots=True)
class Selection:
    """DirectoryDocuments of one tenant (None: of all) and one namespace ("": of all)."""

    tenant: str | None = None
    namespace: str = ""


EVERYTHING: Final = Selection()


class DirectoryDocuments:
    """The documents of a directory that no process changes, always in the same order."""

    def __init__(self, filesystem: FileSystem, directory: Path, selection: Selection) -> None:
        """Raises InvalidArgument when there is no such tenant, DataDamaged, OSError."""
        self._reader = OfflineReader(filesystem, directory)
        self._names = {index: name for name, index in self.manifest.tenants.items()}
        self._tenant: int | None = None
        if selection.tenant is not None:
            self._tenant = self.manifest.tenants.get(selection.tenant)
            if self._tenant is None:
                known = ", ".join(sorted(self.manifest.tenants)) or "none"
                raise InvalidArgument(
                    f"tenant {selection.tenant!r} has never used this database; its tenants are: {known}",
                    field="tenant",
                )
        self._namespace = selection.namespace
        self._now_us = SystemClock().wall_us()
        self.has_tenants = bool(self.manifest.tenants) and self._tenant is None

    @property
    def manifest(self) -> Manifest:
        return self._reader.manifest

    @property
    def count(self) -> int:
        """Live documents, selected or not."""
        return self._reader.count

    def each(self) -> Iterator[PortableDocument | None]:
        """Every live document; None for one that is not selected. Raises DataDamaged."""
        for document in self._reader.documents():
            yield self._portable(document) if self._selects(document) else None

    def _selects(self, document: Document) -> bool:
        if self._tenant is not None and document.tenant != self._tenant:
            return False
        if self.manifest.has_expiry and instant_us_of(document.metadata) <= self._now_us:
            return False
        return not self._namespace or document.metadata.get(NAMESPACE_KEY) == self._namespace

    def _portable(self, document: Document) -> PortableDocument:
        stored = document.metadata
        public = {key: value for key, value in stored.items() if key not in RESERVED_KEYS}
        tenant = ""
        if document.tenant is not None and self._tenant is None:
            tenant = self._names.get(document.tenant, stored.get(TENANT_ID_KEY, ""))
        return PortableDocument(
            document.own_id,
            document.vector,
            public,
            stored.get(NAMESPACE_KEY, ""),
            tenant,
            (instant_us_of(stored) if self.manifest.has_expiry else NEVER_US) % NEVER_US,
        )


def stored_document(document: PortableDocument, tenant_index: int | None) -> Document:
    """The document as a database stores it, under the tenant's number there."""
    reserved = Scope(tenant_index, document.namespace).constraints
    if tenant_index is not None:
        reserved[TENANT_ID_KEY] = document.tenant
    number = 0
    if isinstance(document.doc_id, str):
        reserved[TEXT_ID_KEY] = document.doc_id
    else:
        number = document.doc_id
    return Document(number, document.vector, {**document.metadata, **reserved}, tenant_index)
