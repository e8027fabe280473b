"""The documents of one collection of an embedded database: the methods that pykyro.Client has.

Whose they are, and that its engine is open while it is used, is the matter of embedded/collections.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from pykyro.embedded.answers import search_answer, stored, stored_documents
from pykyro.engine.engine import Engine
from pykyro.model.answers import (
    DocumentPage,
    Facet,
    InsertReport,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
    through_pages,
)
from pykyro.model.arguments import (
    DocId,
    Metadata,
    VectorLike,
    checked_doc_id,
    checked_ids,
    checked_metadata,
    checked_namespace,
    groups,
)
from pykyro.model.criteria import check_deletion_filter, check_one_criterion, search_options
from pykyro.model.documents import DocumentsLike, Intake, checked_document, document_bytes
from pykyro.model.errors import KyroError
from pykyro.model.expiry import ExpiresAt, Ttl, checked_expiry
from pykyro.model.filter_dict import FilterLike, parse_filter
from pykyro.model.limits import (
    SEARCH_BATCH,
    STREAM_GROUP_BYTES_MAX,
    STREAM_GROUP_DOCUMENTS_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.listing import PAGE_DOCUMENTS, next_page_token, page_request
from pykyro.model.requests import (
    Delete,
    DeleteMany,
    DeleteMatching,
    FlushReport,
    Put,
    UpdateMetadata,
)
from pykyro.model.shorthands import Shorthands
from pykyro.model.text_ids import id_type_of
from pykyro.model.types import Document, Scope
from pykyro.model.value_order import FACETS, checked_facets

_log: Final = logging.getLogger(__name__)


class Documents(Shorthands):
    """The documents of a collection. Any thread may call any method; a write returns when it is durable and visible.

    Every method raises InvalidArgument for a wrong call, before anything is changed, and Unavailable once the
    database is closed. Ids are 1 to 2**64 - 1, or where they are text 1 to 512 bytes of UTF-8; a UUID is taken as
    text. Vectors are what NumPy makes a one-dimensional array of numbers of,
    and become float32. Metadata holds texts, numbers, bools, None, datetimes, lists and dicts, and comes out as it
    went in. A namespace of "" is none when storing and all of them when asking. Filters are dicts
    (pykyro.model.filter_dict) or pykyro.model.filter values.
    """

    def _in_use(self) -> AbstractContextManager[Engine]:
        """The engine, open for as long as the context lasts. Raises Unavailable when the database is closed."""
        raise NotImplementedError

    # --- writes ---

    def insert(
        self,
        doc_id: DocId,
        vector: VectorLike,
        metadata: Metadata | None = None,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
    ) -> None:
        """Store a document, or replace the one with its id.

        It goes at `expires_at`, a datetime with a zone or seconds since the epoch, or after `ttl`, a timedelta or
        seconds; with neither after the collection's default_ttl, and with math.inf never.

        Raises ResourceExhausted when there is no room, WriteFailed and Unavailable when the disk is in trouble.
        """
        with self._in_use() as engine:
            document = checked_document(doc_id, vector, metadata, engine.schema)
            expiry = checked_expiry(expires_at, ttl)
            engine.write(Put(_scoped(document, checked_namespace(namespace)), None, expiry))

    def insert_many(
        self,
        documents: DocumentsLike,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
    ) -> InsertReport:
        """Store documents, a few hundred to one fsync.

        A document is (id, vector), (id, vector, metadata), a NewDocument, one as a lookup returned it, or a dict or
        dataclass with `id`, `vector` and entries of metadata. A pandas DataFrame or anything that speaks Arrow has
        them as columns (pykyro.model.frames).

        Those that do not say themselves when they go do so as `expires_at` or `ttl` say, see `insert`.
        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. What `documents` itself raises
        ends the call; the documents of earlier groups are stored, and a note of the error says how many.
        """
        intake = Intake(documents, checked_expiry(expires_at, ttl))
        with self._in_use() as engine:
            try:
                self._insert_groups(engine, intake, checked_namespace(namespace))
            except BaseException as error:
                intake.note(error)
                raise
        return intake.checked_report()

    def _insert_groups(self, engine: Engine, intake: Intake, scope: str) -> None:
        for group in groups(
            intake.accepted(engine.schema),
            count_max=STREAM_GROUP_DOCUMENTS_MAX,
            bytes_max=STREAM_GROUP_BYTES_MAX,
            bytes_of=lambda put: document_bytes(put.document),
        ):
            for put in group:
                put.document = _scoped(put.document, scope)
            for put, outcome in zip(group, engine.commit(group), strict=True):
                if isinstance(outcome, KyroError):
                    intake.refuse(put.document.own_id, outcome)
                else:
                    intake.inserted += 1

    def update_metadata(
        self,
        doc_id: DocId,
        metadata: Metadata,
        *,
        merge: bool = False,
        namespace: str = "",
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there.

        The document goes when it did, unless `expires_at` or `ttl` say otherwise, see `insert`; with math.inf it
        stays.
        """
        scope, expiry = Scope(namespace=checked_namespace(namespace)), checked_expiry(expires_at, ttl)
        with self._in_use() as engine:
            own_id = checked_doc_id(doc_id, engine.schema)
            update = UpdateMetadata(own_id, checked_metadata(metadata), bool(merge), scope, expiry)
            return engine.write(update).existed > 0

    def delete(self, doc_id: DocId, namespace: str = "") -> bool:
        """Remove a document; False when it was not there."""
        scope = Scope(namespace=checked_namespace(namespace))
        with self._in_use() as engine:
            return engine.write(Delete(checked_doc_id(doc_id, engine.schema), scope)).existed > 0

    def delete_many(
        self, ids: Iterable[DocId] | None = None, *, filter: FilterLike | None = None, namespace: str = ""
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids). A filter must name a condition. Raises ResourceExhausted for a
        filter that matches more documents than one call removes.
        """
        check_one_criterion(ids, filter)
        scope = Scope(namespace=checked_namespace(namespace))
        with self._in_use() as engine:
            if filter is not None:
                condition = parse_filter(filter)
                check_deletion_filter(condition)
                return engine.write(DeleteMatching(condition, scope)).existed
            doc_ids = checked_ids(ids or (), engine.schema)
            return sum(
                engine.write(DeleteMany(doc_ids[at : at + STREAM_MESSAGES_MAX], scope)).existed
                for at in range(0, len(doc_ids), STREAM_MESSAGES_MAX)
            )

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        gone = 0
        while page := self.scroll(namespace=namespace, limit=STREAM_MESSAGES_MAX, include_metadata=False):
            gone += self.delete_many([document.id for document in page], namespace=namespace)
        return gone

    # --- reads ---

    def get(
        self, doc_id: DocId, namespace: str = "", *, include_vector: bool = True
    ) -> StoredDocument | None:
        """The document with this id, or None."""
        scope = Scope(namespace=checked_namespace(namespace))
        with self._in_use() as engine:
            return stored(engine.get(checked_doc_id(doc_id, engine.schema), scope), include_vector)

    def get_many(
        self, ids: Iterable[DocId], namespace: str = "", *, include_vectors: bool = True
    ) -> list[StoredDocument | None]:
        """The documents with these ids, in their order; None for an id without a document."""
        scope = Scope(namespace=checked_namespace(namespace))
        with self._in_use() as engine:
            checked = checked_ids(ids, engine.schema)
            return [stored(engine.get(doc_id, scope), include_vectors) for doc_id in checked]

    def search(
        self,
        vector: VectorLike,
        k: int = 10,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> SearchAnswer:
        """The `k` documents most similar to `vector`, whenever that many match.

        `ef_search` is the number of candidates the graph search keeps, 0 for the database's own. Rows with a score
        below `min_score` are left out, none when it is 0 or less. `exact` looks at every row that matches.
        """
        condition = None if filter is None else parse_filter(filter)
        options = search_options(
            k, condition, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        with self._in_use() as engine:
            request = options.ask(vector, "vector", engine.schema)
            started_s = time.perf_counter()
            return search_answer(engine.search(request), started_s)

    def search_many(
        self,
        vectors: Iterable[VectorLike],
        k: int = 10,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> list[SearchAnswer]:
        """`search` for each of `vectors`, a list of vectors or an array of shape (n, dimension), in their order.

        Searched together, each costs less than alone. `latency_ms` counts from the beginning of the group of up to
        SEARCH_BATCH that a vector was in.
        """
        condition = None if filter is None else parse_filter(filter)
        options = search_options(
            k, condition, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        answers: list[SearchAnswer] = []
        with self._in_use() as engine:
            requests = options.ask_each(vectors, engine.schema)
            for at in range(0, len(requests), SEARCH_BATCH):
                started_s = time.perf_counter()
                for result in engine.search_many(requests[at : at + SEARCH_BATCH]):
                    if isinstance(result, KyroError):
                        raise result
                    answers.append(search_answer(result, started_s))
        return answers

    def count(self, *, filter: FilterLike | None = None, namespace: str = "") -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        condition = None if filter is None else parse_filter(filter)
        scope = Scope(namespace=checked_namespace(namespace))
        with self._in_use() as engine:
            return engine.listing.count(condition, scope)[0]

    def scroll(
        self,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        limit: int = PAGE_DOCUMENTS,
        page_token: str = "",
        order_by: str | None = None,
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> DocumentPage:
        """Up to `limit` documents that match `filter`, by id; `page_token` is what the page before says.

        With `order_by`, a key of metadata or a dotted path, by the values there: bools, times, numbers, texts. Equal
        ones follow each other by id, and documents without such a value come last, in both directions.

        A page shows one position. A document that is there all the while, and whose value is not changed, is in
        exactly one page, whatever is written meanwhile. A page of large documents has fewer than `limit`.
        """
        wanted = page_request(
            limit,
            None if filter is None else parse_filter(filter),
            namespace,
            page_token,
            order_by=order_by,
            descending=descending,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
        )
        with self._in_use() as engine:
            page = engine.listing.page(wanted)
            token = next_page_token(page, wanted)
            return DocumentPage(stored_documents(page, wanted.include_vectors), token, page.position)

    def documents(
        self,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        order_by: str | None = None,
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> Iterator[StoredDocument]:
        """Every document that matches `filter`, in the order of `scroll`: its pages one after the other."""
        return through_pages(
            lambda token: self.scroll(
                filter=filter,
                namespace=namespace,
                page_token=token,
                order_by=order_by,
                descending=descending,
                include_vectors=include_vectors,
                include_metadata=include_metadata,
            )
        )

    def sample(
        self,
        count: int,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        wanted = page_request(
            count,
            None if filter is None else parse_filter(filter),
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        with self._in_use() as engine:
            return stored_documents(engine.listing.sample(wanted), wanted.include_vectors)

    def facets(
        self, key: str, *, filter: FilterLike | None = None, namespace: str = "", limit: int = FACETS
    ) -> list[Facet]:
        """The `limit` most frequent values under a key, or a dotted path, and how many of the documents that match
        `filter` have each, exactly; the most frequent first, equal ones by value. Of a list each element counts.
        Raises InvalidArgument for a key with too many values."""
        condition = None if filter is None else parse_filter(filter)
        scope = Scope(namespace=checked_namespace(namespace))
        key, limit = checked_facets(key, limit)
        with self._in_use() as engine:
            return [Facet(*facet) for facet in engine.listing.facets(key, condition, scope, limit)[0]]

    # --- the collection itself ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. Raises WriteFailed, Unavailable."""
        with self._in_use() as engine:
            return engine.flush(force=bool(force))

    def snapshot(self) -> Snapshot:
        """Leave a snapshot of this moment below the directory of the collection. Raises WriteFailed, Unavailable."""
        with self._in_use() as engine:
            report = engine.snapshot()
        return Snapshot(report.path, report.documents, report.size_bytes)

    def stats(self) -> Stats:
        """How many documents there are, and where."""
        with self._in_use() as engine:
            stats, options = engine.stats(), engine.options
        return Stats(
            documents=stats.documents,
            hot_documents=stats.hot_documents,
            cold_documents=stats.cold_documents,
            documents_max=options.documents_max,
            hot_flushes=stats.hot_flushes,
            dimension=options.dimension,
            distance=options.metric.value,
            id_type=id_type_of(engine.schema.text_ids),
        )


def _scoped(document: Document, namespace: str) -> Document:
    if not namespace:
        return document
    metadata = {**document.metadata, **Scope(namespace=namespace).constraints}
    return Document(document.doc_id, document.vector, metadata)
