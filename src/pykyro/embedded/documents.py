"""The documents of one collection of an embedded database: the methods that pykyro.Client has.

Whose they are, and that its engine is open while it is used, is the matter of embedded/collections.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Final

from pykyro.embedded.answers import search_answer, stored, stored_documents
from pykyro.embedded.document_writes import DocumentWrites
from pykyro.model.answers import (
    DocumentPage,
    Facet,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
    through_pages,
)
from pykyro.model.arguments import (
    DocId,
    VectorLike,
    checked_doc_id,
    checked_ids,
    checked_namespace,
)
from pykyro.model.arrangement import MmrLike
from pykyro.model.criteria import search_options
from pykyro.model.errors import KyroError
from pykyro.model.filter_dict import FilterLike, parse_filter
from pykyro.model.freshness import FRESHNESS_WAIT_S, checked_freshness
from pykyro.model.legs import DepthLike, FuseLike
from pykyro.model.limits import (
    SEARCH_BATCH,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.listing import PAGE_DOCUMENTS, next_page_token, page_request
from pykyro.model.requests import (
    CompactionReport,
    FlushReport,
)
from pykyro.model.reranking import Reranker, checked_reranking
from pykyro.model.text_ids import id_type_of
from pykyro.model.types import Scope
from pykyro.model.value_order import FACETS, checked_facets

_log: Final = logging.getLogger(__name__)


class Documents(DocumentWrites):
    """The documents of a collection. Any thread may call any method; a write returns when it is durable and visible.

    Every method raises InvalidArgument for a wrong call, before anything is changed, and Unavailable once the
    database is closed. Ids are 1 to 2**64 - 1, or where they are text 1 to 512 bytes of UTF-8; a UUID is taken as
    text. Vectors are what NumPy makes a one-dimensional array of numbers of,
    and become float32. Metadata holds texts, numbers, bools, None, datetimes, lists and dicts, and comes out as it
    went in. A namespace of "" is none when storing and all of them when asking. Filters are dicts
    (pykyro.model.filter_dict) or pykyro.model.filter values.

    A read with `min_position` shows everything up to that position; it waits `max_wait_s` seconds for it at most,
    then it raises FailedPrecondition.
    """

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        gone = 0
        while page := self.scroll(namespace=namespace, limit=STREAM_MESSAGES_MAX, include_metadata=False):
            gone += self.delete_many([document.id for document in page], namespace=namespace)
        return gone

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
        scope = Scope(namespace=checked_namespace(namespace))
        fresh = checked_freshness(min_position, max_wait_s)
        with self._in_use() as engine:
            engine.wait_for(fresh)
            return stored(engine.get(checked_doc_id(doc_id, engine.schema), scope), include_vector)

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
        scope = Scope(namespace=checked_namespace(namespace))
        fresh = checked_freshness(min_position, max_wait_s)
        with self._in_use() as engine:
            engine.wait_for(fresh)
            checked = checked_ids(ids, engine.schema)
            return [stored(engine.get(doc_id, scope), include_vectors) for doc_id in checked]

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
        filter: FilterLike | None = None,
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

        `ef_search` is the number of candidates the graph search keeps, 0 for the database's own. Rows with a score
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
        fresh = checked_freshness(min_position, max_wait_s)
        condition = None if filter is None else parse_filter(filter)
        reranking = checked_reranking(rerank, rerank_candidates, k, group_by)
        options = search_options(
            k if reranking is None else reranking.candidates,
            condition,
            namespace,
            ef_search,
            min_score,
            exact,
            include_vectors,
            include_metadata,
            include_positions,
        ).with_legs(vector, text, fuse, depth, highlight, explain, group_by, group_size, mmr)
        with self._in_use() as engine:
            request = options.ask(vector, "vector", engine.schema)
            engine.wait_for(fresh)
            started_s = time.perf_counter()
            answer = search_answer(engine.search(request), started_s)
        return answer if reranking is None else reranking.of(answer)

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
        include_positions: bool = False,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[SearchAnswer]:
        """`search` for each of `vectors`, a list of vectors or an array of shape (n, dimension), in their order.

        Searched together, each costs less than alone. `latency_ms` counts from the beginning of the group of up to
        SEARCH_BATCH that a vector was in.
        """
        fresh = checked_freshness(min_position, max_wait_s)
        condition = None if filter is None else parse_filter(filter)
        options = search_options(
            k,
            condition,
            namespace,
            ef_search,
            min_score,
            exact,
            include_vectors,
            include_metadata,
            include_positions,
        )
        answers: list[SearchAnswer] = []
        with self._in_use() as engine:
            requests = options.ask_each(vectors, engine.schema)
            engine.wait_for(fresh)
            for at in range(0, len(requests), SEARCH_BATCH):
                started_s = time.perf_counter()
                for result in engine.search_many(requests[at : at + SEARCH_BATCH]):
                    if isinstance(result, KyroError):
                        raise result
                    answers.append(search_answer(result, started_s))
        return answers

    def count(
        self,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        condition = None if filter is None else parse_filter(filter)
        scope = Scope(namespace=checked_namespace(namespace))
        fresh = checked_freshness(min_position, max_wait_s)
        with self._in_use() as engine:
            engine.wait_for(fresh)
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
        fresh = checked_freshness(min_position, max_wait_s)
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
            engine.wait_for(fresh)
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
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        fresh = checked_freshness(min_position, max_wait_s)
        wanted = page_request(
            count,
            None if filter is None else parse_filter(filter),
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        with self._in_use() as engine:
            engine.wait_for(fresh)
            return stored_documents(engine.listing.sample(wanted), wanted.include_vectors)

    def facets(
        self,
        key: str,
        *,
        filter: FilterLike | None = None,
        namespace: str = "",
        limit: int = FACETS,
        min_position: int = 0,
        max_wait_s: float = FRESHNESS_WAIT_S,
    ) -> list[Facet]:
        """The `limit` most frequent values under a key, or a dotted path, and how many of the documents that match
        `filter` have each, exactly; the most frequent first, equal ones by value. Of a list each element counts.
        Raises InvalidArgument for a key with too many values."""
        condition = None if filter is None else parse_filter(filter)
        scope = Scope(namespace=checked_namespace(namespace))
        key, limit = checked_facets(key, limit)
        fresh = checked_freshness(min_position, max_wait_s)
        with self._in_use() as engine:
            engine.wait_for(fresh)
            return [Facet(*facet) for facet in engine.listing.facets(key, condition, scope, limit)[0]]

    # --- the collection itself ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. Raises WriteFailed, Unavailable."""
        with self._in_use() as engine:
            return engine.flush(force=bool(force))

    def compact(self) -> CompactionReport:
        """Merge all segments into one, so that the space of deleted and replaced documents comes back; it takes as
        long as building the graph again, and reads and writes go on. Raises WriteFailed, Unavailable, and
        ResourceExhausted when there is no memory for it."""
        with self._in_use() as engine:
            return engine.compact()

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
