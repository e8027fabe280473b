"""The documents of one collection of a server: the methods that pykyro.Client and its collections have.

How a call is made is the matter of sync_client.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pykyro.client import calls, write_calls
from pykyro.client.calls import FilterArgument, Result, Steps
from pykyro.model.answers import (
    DocumentPage,
    InsertReport,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
    through_pages,
)
from pykyro.model.arguments import DocId, Metadata, VectorLike
from pykyro.model.criteria import search_options
from pykyro.model.documents import DocumentLike
from pykyro.model.freshness import FRESHNESS_WAIT_S, checked_freshness
from pykyro.model.last_position import LastPosition
from pykyro.model.listing import PAGE_DOCUMENTS, page_request
from pykyro.model.requests import FlushReport


class Documents:
    """The documents of a collection. Any thread may call any method."""

    def __init__(self) -> None:
        self._written = LastPosition()

    def _run(self, steps: Steps[Result]) -> Result:
        """Make the calls of a method, for this collection; what it returns."""
        raise NotImplementedError

    # --- writes ---

    @property
    def position(self) -> int:
        """The position of the last write that was acknowledged through this object, 0 before the first: a read with
        it as `min_position` sees that write, whoever answers."""
        return self._written.value

    def insert(
        self,
        doc_id: DocId,
        vector: VectorLike,
        metadata: Metadata | None = None,
        namespace: str = "",
        *,
        if_absent: bool = False,
        if_position: int | None = None,
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> None:
        """Store a document, or replace the one with its id.

        Raises AlreadyExists and Aborted when a condition does not hold.
        """
        options = write_calls.write_options(if_absent, if_position, if_filter, idempotency_key)
        self._run(write_calls.insert(self._written, doc_id, vector, metadata, namespace, options))

    def insert_many(
        self,
        documents: Iterable[DocumentLike],
        namespace: str = "",
        *,
        atomic: bool = False,
        idempotency_key: str = "",
    ) -> InsertReport:
        """Store documents, (id, vector) or (id, vector, metadata) each, in streams.

        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. When the call fails, a note of
        the error says how many documents are stored.

        With `atomic` all are stored or none, up to 10,000 documents of 4 MB together; what one is refused for is
        raised. Only then may there be an `idempotency_key`.
        """
        return self._run(
            write_calls.insert_many(self._written, documents, namespace, bool(atomic), idempotency_key)
        )

    def update_metadata(
        self,
        doc_id: DocId,
        metadata: Metadata,
        *,
        merge: bool = False,
        namespace: str = "",
        if_position: int | None = None,
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there."""
        options = write_calls.write_options(False, if_position, if_filter, idempotency_key)
        return self._run(
            write_calls.update_metadata(self._written, doc_id, metadata, merge, namespace, options)
        )

    def delete(
        self,
        doc_id: DocId,
        namespace: str = "",
        *,
        if_position: int | None = None,
        if_filter: FilterArgument | None = None,
        idempotency_key: str = "",
    ) -> bool:
        """Remove a document; False when it was not there."""
        options = write_calls.write_options(False, if_position, if_filter, idempotency_key)
        return self._run(write_calls.delete(self._written, doc_id, namespace, options))

    def delete_many(
        self,
        ids: Iterable[DocId] | None = None,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        idempotency_key: str = "",
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids; with an `idempotency_key` there are no more). A filter must name a
        condition.
        """
        options = write_calls.write_options(idempotency_key=idempotency_key)
        return self._run(write_calls.delete_many(self._written, ids, filter, namespace, options))

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        return self._run(write_calls.clear(self._written, namespace))

    # --- reads ---

    def get(
        self,
        doc_id: DocId,
        namespace: str = "",
        *,
        include_vector: bool = True,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> StoredDocument | None:
        """The document with this id, or None."""
        fresh = checked_freshness(min_position, max_wait_s)
        return self._run(calls.get(doc_id, namespace, include_vector, fresh))

    def get_many(
        self,
        ids: Iterable[DocId],
        namespace: str = "",
        *,
        include_vectors: bool = True,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[StoredDocument | None]:
        """The documents with these ids, in their order; None for an id without a document."""
        fresh = checked_freshness(min_position, max_wait_s)
        return self._run(calls.get_many(ids, namespace, include_vectors, fresh))

    def search(
        self,
        vector: VectorLike,
        k: int = 10,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
        include_positions: bool = False,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> SearchAnswer:
        """The `k` documents most similar to `vector`, whenever that many match.

        `ef_search` is the number of candidates the graph search keeps, 0 for the server's own. Rows with a score
        below `min_score` are left out, none when it is 0 or less. `exact` looks at every row that matches.
        `include_positions` states the position of each hit, for `if_position`; then no cache answers.
        """
        fresh = checked_freshness(min_position, max_wait_s)
        options = search_options(
            k,
            None,
            namespace,
            ef_search,
            min_score,
            exact,
            include_vectors,
            include_metadata,
            include_positions,
        )
        return self._run(calls.search(vector, options, filter, fresh))

    def search_many(
        self,
        vectors: Iterable[VectorLike],
        k: int = 10,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
        include_positions: bool = False,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[SearchAnswer]:
        """`search` for each of `vectors`, a list of vectors or an array of shape (n, dimension), in their order."""
        fresh = checked_freshness(min_position, max_wait_s)
        options = search_options(
            k,
            None,
            namespace,
            ef_search,
            min_score,
            exact,
            include_vectors,
            include_metadata,
            include_positions,
        )
        return self._run(calls.search_many(vectors, options, filter, fresh))

    def count(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        fresh = checked_freshness(min_position, max_wait_s)
        return self._run(calls.count(filter, namespace, fresh))

    def scroll(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        limit: int = PAGE_DOCUMENTS,
        page_token: str = "",
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> DocumentPage:
        """Up to `limit` documents that match `filter`, by id; `page_token` is what the page before says.

        A page shows one position. A document that is there all the while is in exactly one page, whatever is written
        meanwhile. A page of large documents has fewer than `limit`.
        """
        fresh = checked_freshness(min_position, max_wait_s)
        wanted = page_request(
            limit,
            None,
            namespace,
            page_token,
            descending=descending,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
        )
        return self._run(calls.scroll(wanted, filter, page_token, fresh))

    def documents(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> Iterator[StoredDocument]:
        """Every document that matches `filter`, by id: the pages of `scroll` one after the other."""
        return through_pages(
            lambda token: self.scroll(
                filter=filter,
                namespace=namespace,
                page_token=token,
                descending=descending,
                include_vectors=include_vectors,
                include_metadata=include_metadata,
            )
        )

    def sample(
        self,
        count: int,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        include_vectors: bool = False,
        include_metadata: bool = True,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        fresh = checked_freshness(min_position, max_wait_s)
        wanted = page_request(
            count,
            None,
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        return self._run(calls.sample(wanted, filter, fresh))

    # --- the collection itself ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. With auth, for admin keys."""
        return self._run(calls.flush(force))

    def snapshot(self) -> Snapshot:
        """Leave a snapshot of this moment below the server's data directory. With auth, for admin keys."""
        return self._run(calls.snapshot())

    def stats(self) -> Stats:
        """How many documents there are, and where."""
        return self._run(calls.stats())
