"""Where an import puts documents: a server, through its client, or a directory, through the engine.

Either returns when the documents are as durable as the database makes its writes. Storing a document twice is storing
it, so a group that was interrupted is simply given again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pykyro.client.sync_client import Client, insert_each
from pykyro.embedded.opening import open_database
from pykyro.embedded.options import engine_options
from pykyro.engine.engine import Engine, open_engine
from pykyro.migration.directory_documents import PortableDocument, stored_document
from pykyro.migration.input_files import path_words
from pykyro.model.arguments import Schema, groups
from pykyro.model.documents import NewDocument
from pykyro.model.errors import FailedPrecondition, InvalidArgument, KyroError
from pykyro.model.expiry import Expiry, as_datetime
from pykyro.model.limits import STREAM_GROUP_BYTES_MAX, STREAM_GROUP_DOCUMENTS_MAX
from pykyro.model.requests import Put
from pykyro.model.text_ids import TEXT
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest


class ImportDestination(Protocol):
    """Every method raises the errors of the database: Unavailable, WriteFailed, PermissionDenied, …"""

    @property
    def name(self) -> str:
        """What the progress of an import is kept for."""
        ...

    @property
    def schema(self) -> Schema: ...

    def store(self, documents: Sequence[PortableDocument]) -> list[tuple[int, str]]:
        """Store them in their order; places of those that were refused, and why."""
        ...


class ServerDestination:
    """A server, or the part of it that a tenant's key shows. `tenant` is the one whose key the client has, if that
    matters."""

    def __init__(
        self, client: Client, target: str, tenant: str | None, collection: str | None = None
    ) -> None:
        """Documents go to `collection`, to `default` without. Raises NotFound."""
        self._client = client if not collection else client.collection(collection)
        self._tenant = tenant
        self.name = target if not collection else f"{target} {collection}"
        stats = self._client.stats()
        self.schema = Schema(stats.dimension, Metric(stats.distance), stats.id_type == TEXT)

    def store(self, documents: Sequence[PortableDocument]) -> list[tuple[int, str]]:
        for document in documents:
            if document.tenant and document.tenant != self._tenant:
                raise FailedPrecondition(
                    f"document {document.doc_id} belongs to tenant {document.tenant}. A server stores only "
                    f"documents of the tenant whose key is used: choose one tenant with --tenant, and give its key"
                )
        refused: list[tuple[int, str]] = []
        for run in _runs(documents):
            namespace = documents[run[0]].namespace
            report = insert_each(
                self._client,
                (_new(documents[at]) for at in run),
                namespace,
            )
            reasons = {refusal.id: refusal.reason for refusal in report.refused}
            refused += [(at, reasons[documents[at].doc_id]) for at in run if documents[at].doc_id in reasons]
        return sorted(refused)


class DirectoryDestination:
    """A data directory that no server has open; a tenant who is new there is given a number."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self.name = path_words(directory)
        self.schema = engine.schema

    def store(self, documents: Sequence[PortableDocument]) -> list[tuple[int, str]]:
        names = sorted({document.tenant for document in documents if document.tenant})
        indices = self._engine.tenant_indices(names) if names else {}
        refused: list[tuple[int, str]] = []
        done = 0
        for group in groups(
            documents,
            count_max=STREAM_GROUP_DOCUMENTS_MAX,
            bytes_max=STREAM_GROUP_BYTES_MAX,
            bytes_of=lambda document: document.size_bytes,
        ):
            outcomes = self._engine.commit(
                [
                    Put(
                        stored_document(document, indices.get(document.tenant)),
                        expiry=Expiry(at_us=document.expires_us) if document.expires_us else None,
                    )
                    for document in group
                ]
            )
            for at, outcome in enumerate(outcomes, done):
                if isinstance(outcome, KyroError):
                    refused.append((at, str(outcome)))
            done += len(group)
        return refused


def open_directory(
    directory: Path,
    dimension: int | None,
    distance: str | None,
    id_type: str | None = None,
    words: WordsConfig | None = None,
) -> Engine:
    """The database in `directory`, created with this dimension, distance, type of ids and words if there is none.

    Raises InvalidArgument when they are missing for a new database or differ from an old one's, DataDirInUse,
    DataDamaged, OSError.
    """
    try:
        manifest = read_manifest(LocalFileSystem(), directory)
    except FileNotFoundError:
        if dimension is None or distance is None:
            raise InvalidArgument(
                f"there is no database in {directory} yet, and the input does not state its dimension and "
                f"distance: give "
                f"--dimension and --distance cosine, euclidean or innerproduct",
                field="dimension",
            ) from None
    else:
        found = (manifest.dimension, manifest.metric.value)
        for name, there, wanted in zip(("dimension", "distance"), found, (dimension, distance), strict=True):
            if wanted is not None and wanted != there:
                raise InvalidArgument(
                    f"the database in {directory} has {name} {there}, the documents are of {name} {wanted}",
                    field=name,
                )
        dimension, distance = found
    options = engine_options(dimension, distance, {}, id_type)
    return open_engine(directory, replace(options, words=words))


@contextmanager
def open_collection(directory: Path, name: str) -> Iterator[Engine]:
    """A collection of the database in `directory`. Raises NotFound, DataDirInUse, DataDamaged, OSError."""
    with open_database(directory) as database:
        database.describe_collection(name)
        with database.collection(name)._in_use() as engine:
            yield engine


def _new(document: PortableDocument) -> NewDocument:
    instant = as_datetime(document.expires_us)
    return NewDocument(document.doc_id, document.vector, document.metadata, expires_at=instant)


def _runs(documents: Sequence[PortableDocument]) -> list[list[int]]:
    """Places of documents that can be stored by one call: of one namespace, the last of two with one id last."""
    ids = {document.doc_id for document in documents}
    runs: list[list[int]] = []
    if len(ids) == len(documents):
        by_namespace: dict[str, list[int]] = {}
        for at, document in enumerate(documents):
            by_namespace.setdefault(document.namespace, []).append(at)
        return list(by_namespace.values())
    for at, document in enumerate(documents):
        if not runs or documents[runs[-1][-1]].namespace != document.namespace:
            runs.append([])
        runs[-1].append(at)
    return runs
