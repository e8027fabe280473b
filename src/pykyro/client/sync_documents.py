"""The documents of one collection of a server: the methods that pykyro.Client and its collections have.

How a call is made is the matter of sync_client.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pykyro.client import calls
from pykyro.client.calls import FilterArgument, Result, Steps
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
from pykyro.model.arguments import DocId, Metadata, VectorLike
from pykyro.model.criteria import search_options
from pykyro.model.documents import DocumentsLike
from pykyro.model.expiry import ExpiresAt, Ttl, checked_expiry
from pykyro.model.listing import PAGE_DOCUMENTS, page_request
from pykyro.model.requests import FlushReport
from pykyro.model.shorthands import Shorthands
from pykyro.model.value_order import FACETS


class Documents(Shorthands):
    """The documents of a collection. Any thread may call any method."""

    def _run(self, steps: Steps[Result]) -> Result:
        """Make the calls of a method, for this collection; what it returns."""
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
        """
        self._run(calls.insert(doc_id, vector, metadata, namespace, checked_expiry(expires_at, ttl)))

    def insert_many(
        self,
        documents: DocumentsLike,
        namespace: str = "",
        *,
        expires_at: ExpiresAt | None = None,
        ttl: Ttl | None = None,
    ) -> InsertReport:
        """Store documents, in streams.

        A document is (id, vector), (id, vector, metadata), a NewDocument, one as a lookup returned it, or a dict or
        dataclass with `id`, `vector` and entries of metadata. A pandas DataFrame or anything that speaks Arrow has
        them as columns (pykyro.model.frames).

        Those that do not say themselves when they go do so as `expires_at` or `ttl` say, see `insert`.
        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. When the call fails, a note of
        the error says how many documents are stored.
        """
        return self._run(calls.insert_many(documents, namespace, checked_expiry(expires_at, ttl)))

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
        expiry = checked_expiry(expires_at, ttl)
        return self._run(calls.update_metadata(doc_id, metadata, merge, namespace, expiry))

    def delete(self, doc_id: DocId, namespace: str = "") -> bool:
        """Remove a document; False when it was not there."""
        return self._run(calls.delete(doc_id, namespace))

    def delete_many(
        self, ids: Iterable[DocId] | None = None, *, filter: FilterArgument | None = None, namespace: str = ""
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids). A filter must name a condition.
        """
        return self._run(calls.delete_many(ids, filter, namespace))

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        return self._run(calls.clear(namespace))

    # --- reads ---

    def get(
        self, doc_id: DocId, namespace: str = "", *, include_vector: bool = True
    ) -> StoredDocument | None:
        """The document with this id, or None."""
        return self._run(calls.get(doc_id, namespace, include_vector))

    def get_many(
        self, ids: Iterable[DocId], namespace: str = "", *, include_vectors: bool = True
    ) -> list[StoredDocument | None]:
        """The documents with these ids, in their order; None for an id without a document."""
        return self._run(calls.get_many(ids, namespace, include_vectors))

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
    ) -> SearchAnswer:
        """The `k` documents most similar to `vector`, whenever that many match.

        `ef_search` is the number of candidates the graph search keeps, 0 for the server's own. Rows with a score
        below `min_score` are left out, none when it is 0 or less. `exact` looks at every row that matches.
        """
        options = search_options(
            k, None, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        return self._run(calls.search(vector, options, filter))

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
    ) -> list[SearchAnswer]:
        """`search` for each of `vectors`, a list of vectors or an array of shape (n, dimension), in their order."""
        options = search_options(
            k, None, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        return self._run(calls.search_many(vectors, options, filter))

    def count(self, *, filter: FilterArgument | None = None, namespace: str = "") -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        return self._run(calls.count(filter, namespace))

    def scroll(
        self,
        *,
        filter: FilterArgument | None = None,
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
            None,
            namespace,
            page_token,
            order_by=order_by,
            descending=descending,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
        )
        return self._run(calls.scroll(wanted, filter, page_token))

    def documents(
        self,
        *,
        filter: FilterArgument | None = None,
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
        filter: FilterArgument | None = None,
        namespace: str = "",
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        wanted = page_request(
            count,
            None,
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        return self._run(calls.sample(wanted, filter))

    def facets(
        self, key: str, *, filter: FilterArgument | None = None, namespace: str = "", limit: int = FACETS
    ) -> list[Facet]:
        """The `limit` most frequent values under a key, or a dotted path, and how many of the documents that match
        `filter` have each, exactly; the most frequent first, equal ones by value. Of a list each element counts.
        Raises InvalidArgument for a key with too many values."""
        return self._run(calls.facets(key, filter, namespace, limit))

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
