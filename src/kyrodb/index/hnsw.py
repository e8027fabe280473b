"""Approximate search: a hierarchical navigable small world graph over bfloat16 rows.

The graph is Malkov and Yashunin's (IEEE TPAMI 42(4), 2020, arXiv:1603.09320), built and searched by faiss
(`IndexHNSWSQ`, `QT_bf16`); this module is the only one that calls it. Points in the graph are row numbers.
A graph is immutable: the library crashes when one thread adds while another searches, so `extend_graph`
grows a private copy. Quantising costs about 0.2 % recall, which callers win back by rescoring the rows found.

Rows are padded with zeros to a multiple of 16 components, because the library falls back to scalar code,
seven times slower, for other widths (385 components: 536 us a search against 72 us for 392). Zeros change
no inner product and no distance. A padded graph is stored under a `RemapDimensionsTransform`, which keeps
the true width.

Under an inner product a plain graph serves long rows only: short ones are nobody's best answer, end without
incoming links, and are not found even when a filter asks for them alone. So such a graph holds two kinds of
links at the bottom, half from the graph of the directions of the rows and half from that of their inner
products (after ip-NSW+: Liu et al., AAAI 2020). The reduction to cosine by one more component (Bachrach et
al., RecSys 2014) is far worse. Recall@10 at ef 128 on 20,000 rows whose lengths are log-normal, sigma 0.3
to 0.7, of all rows and of the 70 % shortest:

                           plain          both links     reduced
    sentence embeddings    0.992 0.824    0.987 0.951    0.405
    clustered              0.990 0.245    0.995 0.969    0.593
    Gaussian               0.991 0.237    0.978 0.554    0.051

At ef 512 both links give 0.996 0.997, 0.999 0.996 and 0.996 0.927; plain stays at 0.906, 0.371 and 0.544 of
the shortest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from kyrodb.distance import norms
from kyrodb.index.helper import Helpers, Work
from kyrodb.index.huge_pages import want_huge_pages
from kyrodb.index.library import faiss, team
from kyrodb.index.links import connect, merged
from kyrodb.processors import PROCESSORS
from kyrodb.types import Bits, Matrix, Metric, Rows, Vector

Similarities = npt.NDArray[np.float32]

_WIDTH_MULTIPLE: Final = 16
_LENGTH_TOLERANCE: Final = 0.01
"""A row this near to length one counts as one; bfloat16 moves a length by less."""
_CHUNK_ROWS: Final = 1 << 14
_TEAM: Final = min(2, PROCESSORS)
"""Threads that walk the graph for questions asked together; the processors have other things to do as well."""
_TEAM_FROM: Final = 8
"""Questions from which on waking a second thread pays."""
_HALVES_FROM_BYTES: Final = 4 << 20
"""A scan of so many bytes of selected rows is done in two halves; of all rows, whose bits need no look, of four times
as many."""
_helpers: Final = Helpers(PROCESSORS // 2)
_Result = TypeVar("_Result")
_Scanned: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""What the library calls distances, and the rows."""


@dataclass(frozen=True, slots=True)
class GraphParameters:
    """How a graph is built: `m` links a row (2 m at the bottom), `ef_construction` candidates weighed."""

    m: int
    ef_construction: int
    metric: Metric


class Graph:
    """A searchable graph. Any number of threads may search at once; nothing changes it."""

    def __init__(self, index: Any) -> None:
        """`index` is a faiss IndexHNSWSQ, or an IndexPreTransform that pads its rows.

        Raises ValueError when it is anything else or its parts disagree.
        """
        self._stored = index  # owns the memory of `_index`
        self._index = _searchable(index)
        self._codes = faiss.downcast_index(self._index.storage)
        self.dimension = int(index.d)
        self.ntotal = int(self._index.ntotal)
        self._padding = int(self._index.d) - self.dimension
        self._larger_is_nearer = self._index.metric_type == faiss.METRIC_INNER_PRODUCT

    @property
    def memory_bytes(self) -> int:
        """Bytes of codes and links, whether in memory or mapped; an estimate."""
        links = self._index.hnsw
        return int(
            self.ntotal * self._codes.code_size
            + 4 * links.neighbors.size()
            + 8 * links.offsets.size()
            + 4 * links.levels.size()
        )

    def search(self, query: Vector, k: int, ef: int) -> tuple[Rows, Similarities]:
        """The up to `k` rows most similar to `query`, best first, and their approximate similarities.

        `query` is in index form. `ef` candidates are kept on the way, at least `k`.
        """
        rows, similarities = self.search_many([query], k, ef)
        found, values = rows[0], similarities[0]
        if k and found[-1] < 0:
            real = found >= 0
            return found[real], values[real]
        return found, values

    def search_many(
        self, queries: Sequence[Vector] | Matrix, k: int, ef: int
    ) -> tuple[npt.NDArray[np.int64], Similarities]:
        """`search` for each of n queries: rows and similarities of shape (n, k), row -1 where there is
        none."""
        asked = self._padded(np.array(queries) if len(queries) > 1 else queries[0][np.newaxis])
        if len(queries) > 1:
            # Otherwise OpenMP would share even two questions out to all processors. The setting counts for this
            # thread only.
            faiss.omp_set_num_threads(team(_TEAM) if len(queries) >= _TEAM_FROM else 1)
        values, rows = self._index.search(asked, k, params=_parameters(max(ef, k)))
        if not self._larger_is_nearer:
            np.negative(values, out=values)
        return rows, values

    def scan(self, query: Vector, k: int, selected: Bits | None, count: int) -> tuple[Rows, Similarities]:
        """Of all rows, or those whose bit is set, the `k` whose bfloat16 forms are most similar to `query`, which
        is in index form: rows, best first, and these similarities. Fewer when there are fewer.

        `count` is about how many rows that concerns. Half the bytes of the rows themselves have to be read.
        """
        asked = self._padded(query[np.newaxis])

        def halves() -> tuple[Work[_Scanned], Work[_Scanned]]:
            lower, upper = _halves(selected, self.ntotal)
            return lambda: self._scan(asked, k, lower), lambda: self._scan(asked, k, upper)

        least = _HALVES_FROM_BYTES * (4 if selected is None else 1)
        parts = _helpers.both(halves) if count * self._codes.code_size >= least else None
        if parts is None:
            values, rows = self._scan(asked, k, selected)
        else:
            values = np.concatenate([values for values, _ in parts])
            rows = np.concatenate([rows for _, rows in parts])
            best = np.argsort(-values if self._larger_is_nearer else values, kind="stable")[:k]
            values, rows = values[best], rows[best]
        return rows, values if self._larger_is_nearer else -values

    def _scan(self, asked: Matrix, k: int, selected: Bits | None) -> _Scanned:
        parameters = faiss.SearchParameters()
        if selected is not None:
            selector = faiss.IDSelectorBitmap(selected)  # kept alive here: the C++ object only points at it
            parameters.sel = selector
        faiss.omp_set_num_threads(1)  # one question needs no team to be woken
        values, rows = self._codes.search(asked, k, params=parameters)
        found = rows[0] >= 0
        return values[0][found], rows[0][found]

    def _padded(self, queries: Matrix) -> Matrix:
        if not self._padding:
            return queries
        padded = np.zeros((len(queries), self._index.d), dtype=np.float32)  # np.pad takes ten times as long
        padded[:, : self.dimension] = queries
        return padded

    def move_to_huge_pages(self) -> None:
        """For a graph in memory of its own; see huge_pages.py."""
        codes, links = self._codes.codes, self._index.hnsw.neighbors
        want_huge_pages(int(codes.data()), codes.size())
        want_huge_pages(int(links.data()), 4 * links.size())

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """The graph serialised, shape (bytes,); `graph_from_bytes` reads it."""
        return np.asarray(_checked("serialise", faiss.serialize_index, self._stored), dtype=np.uint8)

    def write(self, path: str) -> None:
        """Write the graph to a file that `load_graph` reads. Raises ValueError when that fails."""
        _checked("write", faiss.write_index, self._stored, path)


def build_graph(rows: Matrix, parameters: GraphParameters, threads: int = 1) -> Graph:
    """A graph of `rows`, which are in index form (distance.index_form) and finite.

    One thread builds the same graph every time; more build one of equal quality. Inner products take twice as
    long as the other metrics unless all rows have length one.
    """
    metric = faiss.METRIC_L2 if parameters.metric is Metric.EUCLIDEAN else faiss.METRIC_INNER_PRODUCT
    return Graph(_built(rows, parameters.m, parameters.ef_construction, metric, threads))


def extend_graph(source: npt.NDArray[np.uint8] | str | Path, rows: Matrix, threads: int = 1) -> Graph:
    """A new graph: the stored one, given by its bytes or its path, with `rows` numbered after its own.

    The source is copied into memory and stays as it is. Inner products of rows of unequal length make the
    whole graph be built anew. Raises ValueError when the source is no graph or has another dimension.
    """
    if isinstance(source, np.ndarray):
        graph = graph_from_bytes(source)
    else:
        graph = Graph(_checked("load", faiss.read_index, str(source)))
    if rows.shape[1] != graph.dimension:
        raise ValueError(f"rows of dimension {rows.shape[1]} cannot extend a graph of {graph.dimension}")
    index = graph._index
    if graph._larger_is_nearer and not (_of_length_one(rows) and _all_of_length_one(index)):
        stored = index.reconstruct_n(0, graph.ntotal)[:, : graph.dimension]
        m, ef_construction = index.hnsw.nb_neighbors(1), index.hnsw.efConstruction
        return Graph(_built(np.concatenate([stored, rows]), m, ef_construction, index.metric_type, threads))
    return Graph(_connected(_grown(graph._stored, rows, threads)))


def load_graph(
    path: str, *, rows: int | None = None, dimension: int | None = None, mapped: bool = True
) -> Graph:
    """A graph whose file is mapped into memory, read as it is needed; or not `mapped`, read into huge pages.

    The file must have passed its digest: the library believes what it reads. Raises ValueError when it cannot
    be loaded, is no graph of this module, or has not the `rows` or `dimension` expected.
    """
    stored = _checked("load", faiss.read_index, path, faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    graph = _expected(Graph(stored), rows, dimension)
    if not mapped:
        graph.move_to_huge_pages()
    return graph


def graph_from_bytes(
    data: npt.NDArray[np.uint8], *, rows: int | None = None, dimension: int | None = None
) -> Graph:
    """A graph in memory, copied from what `Graph.to_bytes` gave; as `load_graph` otherwise."""
    return _expected(Graph(_checked("load", faiss.deserialize_index, data)), rows, dimension)


def _expected(graph: Graph, rows: int | None, dimension: int | None) -> Graph:
    if rows is not None and graph.ntotal != rows:
        raise ValueError(f"graph has {graph.ntotal} rows, expected {rows}")
    if dimension is not None and graph.dimension != dimension:
        raise ValueError(f"graph has dimension {graph.dimension}, expected {dimension}")
    return graph


def _built(rows: Matrix, m: int, ef_construction: int, metric: int, threads: int) -> Any:
    index = _grown(_empty(rows.shape[1], m, ef_construction, metric), rows, threads)
    if metric == faiss.METRIC_INNER_PRODUCT and not _of_length_one(rows):
        angular = _grown(
            _empty(rows.shape[1], m, ef_construction, faiss.METRIC_L2), _directions(rows), threads
        )
        _merge_links(_searchable(index), _searchable(angular))
    return _connected(index)


def _empty(width: int, m: int, ef_construction: int, metric: int) -> Any:
    padded = -(-width // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
    index = faiss.IndexHNSWSQ(padded, faiss.ScalarQuantizer.QT_bf16, m, metric)
    index.hnsw.efConstruction = ef_construction
    index.train(np.zeros((1, padded), dtype=np.float32))  # bf16 learns nothing, but the flag must be set
    if padded == width:
        return index
    return faiss.IndexPreTransform(faiss.RemapDimensionsTransform(width, padded, False), index)


def _grown(index: Any, rows: Matrix, threads: int) -> Any:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(team(threads))
    try:
        _checked("build", index.add, np.ascontiguousarray(rows))
    finally:
        faiss.omp_set_num_threads(before)
    return index


def _directions(rows: Matrix) -> Matrix:
    """The rows with length one; a row of zeros stays one."""
    directions = np.empty_like(rows)
    for part in _chunks(len(rows)):
        lengths = np.maximum(norms(rows[part]), np.finfo(np.float32).tiny)
        directions[part] = rows[part] / lengths[:, np.newaxis]
    return directions


def _of_length_one(rows: Matrix) -> bool:
    return all(
        bool((np.abs(norms(rows[part]) - 1.0) < _LENGTH_TOLERANCE).all()) for part in _chunks(len(rows))
    )


def _all_of_length_one(index: Any) -> bool:
    """Whether the rows in the graph are."""
    return all(
        _of_length_one(index.reconstruct_n(part.start, part.stop - part.start))
        for part in _chunks(index.ntotal)
    )


def _chunks(count: int) -> Iterator[slice]:
    """Pieces of so many rows, so that float64 copies stay small."""
    return (slice(start, min(start + _CHUNK_ROWS, count)) for start in range(0, count, _CHUNK_ROWS))


def _all_links(index: Any) -> npt.NDArray[np.int32]:
    """Every link of every layer, as a view into the graph's own memory."""
    links = index.hnsw.neighbors
    return np.asarray(faiss.rev_swig_ptr(links.data(), links.size()))


def _bottom(index: Any) -> npt.NDArray[np.int64]:
    """Where in all links those of the bottom layer are, shape (rows, places)."""
    starts = faiss.vector_to_array(index.hnsw.offsets)[:-1].astype(np.int64)
    return np.asarray(starts[:, np.newaxis] + np.arange(index.hnsw.nb_neighbors(0)))


def _merge_links(index: Any, angular: Any) -> None:
    """Give `index` the layers of `angular`, a graph of the same rows, and at the bottom links of both."""
    own, other, bottom = _all_links(index), _all_links(angular), _bottom(index)
    # Which layers a row is in follows from its number alone, so both graphs are laid out alike.
    joined = merged(other[bottom], own[bottom])
    own[:] = other
    own[bottom] = joined
    index.hnsw.entry_point = angular.hnsw.entry_point


def _connected(index: Any) -> Any:
    """The index with every row in reach of the search."""
    inner = _searchable(index)
    if inner.ntotal:
        links, bottom = _all_links(inner), _bottom(inner)
        own = links[bottom]
        if connect(own, inner.hnsw.entry_point):
            links[bottom] = own
    return index


def _searchable(index: Any) -> Any:
    """The IndexHNSWSQ inside what was stored, its parts compared with one another."""
    inner = index
    if isinstance(index, faiss.IndexPreTransform):
        inner = faiss.downcast_index(index.index)
        if not 0 < inner.d - index.d < _WIDTH_MULTIPLE or index.ntotal != inner.ntotal:
            raise ValueError(f"graph pads {index.ntotal} rows of {index.d} to {inner.ntotal} of {inner.d}")
    if not isinstance(inner, faiss.IndexHNSWSQ) or inner.metric_type not in (
        faiss.METRIC_INNER_PRODUCT,
        faiss.METRIC_L2,
    ):
        raise ValueError(f"not a graph of bfloat16 rows but a {type(inner).__name__}")
    stored, levels = inner.storage, inner.hnsw.levels.size()
    if not (stored.ntotal == levels == inner.ntotal and stored.d == inner.d):
        raise ValueError(
            f"graph of {inner.ntotal} rows of {inner.d} has {levels} levels and "
            f"{stored.ntotal} codes of {stored.d}"
        )
    return inner


def _halves(selected: Bits | None, rows: int) -> tuple[Bits, Bits]:
    """Two parts of the bits, with as many set in each; missing bits count as unset."""
    if selected is None:
        selected = np.packbits(np.ones(rows, np.bool_), bitorder="little")
    set_before = np.cumsum(np.bitwise_count(selected), dtype=np.int64)
    middle = int(np.searchsorted(set_before, set_before[-1] // 2)) + 1
    upper = selected.copy()
    upper[:middle] = 0
    return selected[:middle], upper


@lru_cache(maxsize=256)
def _parameters(ef: int) -> Any:
    """Search parameters: never written to, so threads share them; 3 us to make."""
    return faiss.SearchParametersHNSW(efSearch=ef)


def _checked(action: str, call: Callable[..., _Result], *arguments: Any) -> _Result:
    try:
        return call(*arguments)
    except Exception as error:  # the binding turns C++ exceptions into classes it does not document
        raise ValueError(f"cannot {action} graph: {error}") from error
