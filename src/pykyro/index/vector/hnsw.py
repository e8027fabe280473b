"""Approximate search: a hierarchical navigable small world graph over codes of rows.

The graph is Malkov and Yashunin's (IEEE TPAMI 42(4), 2020, arXiv:1603.09320), built (graph_build.py) and searched by
faiss. What the codes stand for is in coding.py; points of a graph are rows of a segment, or lists of equal ones
(equal_rows.py). A graph is immutable: the library crashes when one thread adds while another searches, so
`extend_graph` grows a private copy. A padded graph (see codes.py) is stored under a `RemapDimensionsTransform`, which
keeps the true width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pykyro.index.vector.codes import WIDTH_MULTIPLE, Codes, padded
from pykyro.index.vector.huge_pages import want_huge_pages
from pykyro.index.vector.library import faiss, team
from pykyro.index.vector.scan_thread import Helpers, Work
from pykyro.model.types import Bits, Matrix, Rows, Vector
from pykyro.system.processors import PROCESSORS

Similarities = npt.NDArray[np.float32]

_TEAM: Final = min(2, PROCESSORS)
"""Threads that walk the graph for queries asked together; the processors have other things to do as well."""
_TEAM_FROM: Final = 8
"""Queries from which on waking a second thread pays."""
_HALVES_FROM_BYTES: Final = 4 << 20
"""A scan of so many bytes of selected rows is done in two halves; of all rows, whose bits need no look, of four times
as many."""
_helpers: Final = Helpers(PROCESSORS // 2)
_Result = TypeVar("_Result")
_Scanned: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""What the library calls distances, and the rows."""


class Graph:
    """A searchable graph. Any number of threads may search at once; nothing changes it."""

    def __init__(self, index: Any) -> None:
        """`index` is a faiss IndexHNSWSQ or IndexHNSWFlat, or an IndexPreTransform that pads its rows.

        Raises ValueError when it is anything else or its parts disagree.
        """
        self.stored = index  # owns the memory of `_index`
        self._index = searchable(index)
        self._codes = faiss.downcast_index(self._index.storage)
        self.dimension = int(index.d)
        self.ntotal = int(self._index.ntotal)
        self._padding = int(self._index.d) - self.dimension
        self.by_product = self._index.metric_type == faiss.METRIC_INNER_PRODUCT

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
        asked = np.array(queries) if len(queries) > 1 else queries[0][np.newaxis]
        if self._padding:
            asked = padded(asked, self._index.d)
        if len(queries) > 1:
            # Otherwise OpenMP would share even two queries out to all processors. The setting counts for this
            # thread only.
            faiss.omp_set_num_threads(team(_TEAM) if len(queries) >= _TEAM_FROM else 1)
        values, rows = self._index.search(asked, k, params=_parameters(max(ef, k)))
        if not self.by_product:
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
            best = np.argsort(-values if self.by_product else values, kind="stable")[:k]
            values, rows = values[best], rows[best]
        return rows, values if self.by_product else -values

    def _scan(self, asked: Matrix, k: int, selected: Bits | None) -> _Scanned:
        parameters = faiss.SearchParameters()
        if selected is not None:
            selector = faiss.IDSelectorBitmap(selected)  # kept alive here: the C++ object only points at it
            parameters.sel = selector
        faiss.omp_set_num_threads(1)  # one query needs no team to be woken
        values, rows = self._codes.search(asked, k, params=parameters)
        found = rows[0] >= 0
        return values[0][found], rows[0][found]

    def _padded(self, queries: Matrix) -> Matrix:
        return padded(queries, self._index.d) if self._padding else queries

    def codes(self) -> Codes:
        """The code of each point, a view into the graph's own memory."""
        codes = self._codes.codes
        flat = np.asarray(faiss.rev_swig_ptr(codes.data(), codes.size()))
        return flat.reshape(self.ntotal, int(self._codes.code_size))

    def move_to_huge_pages(self) -> None:
        """For a graph in memory of its own; see huge_pages.py."""
        codes, links = self._codes.codes, self._index.hnsw.neighbors
        want_huge_pages(int(codes.data()), codes.size())
        want_huge_pages(int(links.data()), 4 * links.size())

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """The graph serialised, shape (bytes,); `graph_from_bytes` reads it."""
        return np.asarray(checked("serialise", faiss.serialize_index, self.stored), dtype=np.uint8)

    def write(self, path: str) -> None:
        """Write the graph to a file that `load_graph` reads. Raises ValueError when that fails."""
        checked("write", faiss.write_index, self.stored, path)


def load_graph(
    path: str, *, rows: int | None = None, dimension: int | None = None, mapped: bool = True
) -> Graph:
    """A graph whose file is mapped into memory, read as it is needed; or not `mapped`, read into huge pages.

    The file must have passed its digest: the library believes what it reads. Raises ValueError when it cannot
    be loaded, is no graph of this module, or has not the `rows` or `dimension` expected.
    """
    stored = checked("load", faiss.read_index, path, faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    graph = _expected(Graph(stored), rows, dimension)
    if not mapped:
        graph.move_to_huge_pages()
    return graph


def graph_from_bytes(
    data: npt.NDArray[np.uint8], *, rows: int | None = None, dimension: int | None = None
) -> Graph:
    """A graph in memory, copied from what `Graph.to_bytes` gave; as `load_graph` otherwise."""
    return _expected(Graph(checked("load", faiss.deserialize_index, data)), rows, dimension)


def _expected(graph: Graph, rows: int | None, dimension: int | None) -> Graph:
    if rows is not None and graph.ntotal != rows:
        raise ValueError(f"graph has {graph.ntotal} rows, expected {rows}")
    if dimension is not None and graph.dimension != dimension:
        raise ValueError(f"graph has dimension {graph.dimension}, expected {dimension}")
    return graph


def searchable(index: Any) -> Any:
    """The graph proper inside what was stored, its parts compared with one another."""
    inner = index
    if isinstance(index, faiss.IndexPreTransform):
        inner = faiss.downcast_index(index.index)
        if not 0 < inner.d - index.d < WIDTH_MULTIPLE or index.ntotal != inner.ntotal:
            raise ValueError(f"graph pads {index.ntotal} rows of {index.d} to {inner.ntotal} of {inner.d}")
    if not isinstance(inner, (faiss.IndexHNSWSQ, faiss.IndexHNSWFlat)) or inner.metric_type not in (
        faiss.METRIC_INNER_PRODUCT,
        faiss.METRIC_L2,
    ):
        raise ValueError(f"not a graph of rows but a {type(inner).__name__}")
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


def checked(action: str, call: Callable[..., _Result], *arguments: Any) -> _Result:
    try:
        return call(*arguments)
    except Exception as error:  # the binding turns C++ exceptions into classes it does not document
        raise ValueError(f"cannot {action} graph: {error}") from error
