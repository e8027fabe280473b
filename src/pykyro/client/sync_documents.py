"""The documents of one collection of a server: the methods that pykyro.Client and its collections have.

How a call is made is the matter of sync_client.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pykyro.client import calls
from pykyro.client.calls import FilterArgument
from pykyro.client.own_writes import own_freshness
from pykyro.client.sync_document_writes import DocumentWrites
from pykyro.model.answers import (
    DocumentPage,
    Facet,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
    through_pages,
)
from pykyro.model.arguments import DocId, VectorLike
from pykyro.model.arrangement import MmrLike
from pykyro.model.criteria import search_options
from pykyro.model.freshness import FRESHNESS_WAIT_S
from pykyro.model.legs import DepthLike, FuseLike
from pykyro.model.listing import PAGE_DOCUMENTS, page_request
from pykyro.model.requests import CompactionReport, FlushReport
from pykyro.model.reranking import Reranker, checked_reranking
from pykyro.model.value_order import FACETS


class Documents(DocumentWrites):
    """The documents of a collection. Any thread may call any method."""

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
        fresh = own_freshness(self._written, min_position, max_wait_s)
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
        fresh = own_freshness(self._written, min_position, max_wait_s)
        return self._run(calls.get_many(ids, namespace, include_vectors, fresh))

    def search(
        self,
        vector: VectorLike | None = None,
        k: int = 10,
        *,
        text: str | None = None,
        fuse: FuseLike | None = None,
        depth: DepthLike = 0,
        highlight: bool = False,
        explain: bool = False,
        group_by: str | None = None,
        group_size: int = 0,
        mmr: MmrLike | None = None,
        rerank: Reranker | None = None,
        rerank_candidates: int = 0,
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

        With `text` it goes by words instead: the documents whose text has them, by BM25; with both by both, fused as
        `fuse` says: by "rrf", by "weights", or by {"rrf": {"text": 2}} and the like, out of the best `depth` of each,
        or of {"vector": 100, "text": 400}. `highlight` says where the words of the text are, `explain` the rank and
        score of each. See docs/words.md.

        `group_by` finds the `k` best values under a key, and the best `group_size` documents of each (1 unless it is
        said). `mmr`, a number from 0 to 1 or {"relevance": 0.5, "candidates": 100}, finds documents that are unlike
        one another, by maximal marginal relevance. `rerank`, which is called here with the best `rerank_candidates`
        hits and returns a score for each, puts them in another order. See docs/arranging.md.
        """
        fresh = own_freshness(self._written, min_position, max_wait_s)
        reranking = checked_reranking(rerank, rerank_candidates, k, group_by)
        options = search_options(
            k if reranking is None else reranking.candidates,
            None,
            namespace,
            ef_search,
            min_score,
            exact,
            include_vectors,
            include_metadata,
            include_positions,
        ).with_legs(vector, text, fuse, depth, highlight, explain, group_by, group_size, mmr)
        answer = self._run(calls.search(vector, options, filter, fresh))
        return answer if reranking is None else reranking.of(answer)

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
        fresh = own_freshness(self._written, min_position, max_wait_s)
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
        fresh = own_freshness(self._written, min_position, max_wait_s)
        return self._run(calls.count(filter, namespace, fresh))

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
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> DocumentPage:
        """Up to `limit` documents that match `filter`, by id; `page_token` is what the page before says.

        With `order_by`, a key of metadata or a dotted path, by the values there: bools, times, numbers, texts. Equal
        ones follow each other by id (where ids are text, in an order of their own), and documents without such a
        value come last, in both directions.

        A page shows one position. A document that is there all the while, and whose value is not changed, is in
        exactly one page, whatever is written meanwhile. A page of large documents has fewer than `limit`.
        """
        fresh = own_freshness(self._written, min_position, max_wait_s)
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
        return self._run(calls.scroll(wanted, filter, page_token, fresh))

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
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        fresh = own_freshness(self._written, min_position, max_wait_s)
        wanted = page_request(
            count,
            None,
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        return self._run(calls.sample(wanted, filter, fresh))

    def facets(
        self,
        key: str,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        limit: int = FACETS,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[Facet]:
        """The `limit` most frequent values under a key, or a dotted path, and how many of the documents that match
        `filter` have each, exactly; the most frequent first, equal ones by value. Of a list each element counts.
        Raises InvalidArgument for a key with too many values."""
        fresh = own_freshness(self._written, min_position, max_wait_s)
        return self._run(calls.facets(key, filter, namespace, limit, fresh))

    # --- the collection itself ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. With auth, for admin keys."""
        return self._run(calls.flush(force))

    def compact(self) -> CompactionReport:
        """Merge all segments into one, so that the space of deleted and replaced documents comes back; it takes as
        long as building the graph again, and goes on when the call runs out of time. With auth, for admin keys."""
        return self._run(calls.compact())

    def snapshot(self) -> Snapshot:
        """Leave a snapshot of this moment below the server's data directory. With auth, for admin keys."""
        return self._run(calls.snapshot())

    def stats(self) -> Stats:
        """How many documents there are, and where."""
        return self._run(calls.stats())
