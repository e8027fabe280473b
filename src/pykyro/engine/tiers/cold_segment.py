"""A cold segment: rows that never change, mapped from disk, and the bitmap of those that were deleted.

What its files hold stands in storage/segment/layout.py. The .graph file is the HNSW graph over codes of the rows, and
the .shape file says what they are codes of, see index/vector/shape.py. Small segments have neither and are scanned;
graphs of earlier versions have no .shape file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from pykyro.engine.memory import EngineMemory
from pykyro.engine.tiers.expiring_rows import as_instant_us, due_of
from pykyro.engine.tiers.graph_search import GraphSearch, Matching
from pykyro.engine.tiers.merged_metadata import MappedMetadata
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.engine.tiers.tier import (
    NO_ROWS,
    Candidates,
    TierRequest,
    TierRows,
    count_owners,
    first_by_id,
    no_candidates,
)
from pykyro.engine.words.collection_words import WordTotals
from pykyro.index.metadata.bitmaps import rows_of, to_bits
from pykyro.index.metadata.metadata_index import FrozenMetadataIndex
from pykyro.index.vector import flat, planner
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape, old_shape
from pykyro.index.words.frozen_words import FrozenWords
from pykyro.model.distance import Query
from pykyro.model.errors import DataDamaged
from pykyro.model.filter import Filter
from pykyro.model.requests import Tier
from pykyro.model.types import EXPIRES_AT_KEY, LSN, Bits, Key, Matrix, Metric, Rows, Vector
from pykyro.storage.manifest import SegmentEntry
from pykyro.storage.segment.reader import SegmentRows, index_sections, word_sections
from pykyro.storage.segment.section_file import SectionFile

_CODES_ROWS_MIN: Final = 4096
"""Rows of a segment from which on a scan reads the codes first. Of 3,000 rows of 384 components a scan of the rows
themselves takes as long when the codes prove the answer (0.15 ms) and less when they do not (0.17 against 0.34)."""
_CODES_SHARE_MIN: Final = 0.03
"""Share of rows that match from which on a scan reads the codes, which looks at the bit of every row."""


_BY_ID_FROM: Final = 64
"""A listing goes through the rows by id when more than one in so many matches, else through those that match."""


class LiveRows:
    """Which rows of a segment are alive. Edited in place while searches read it."""

    __slots__ = ("bits", "count", "deleted")

    def __init__(self, count: int, deleted: BitMap) -> None:
        self.count = count
        self.deleted: BitMap = BitMap()
        self.bits: Bits = np.packbits(np.ones(count, dtype=np.bool_), bitorder="little")
        for row in deleted:
            self.delete(row)

    def delete(self, row: int) -> None:
        # Searches in flight read the bits; one byte changes at once or not at all.
        self.bits[row >> 3] &= np.uint8(0xFF ^ (1 << (row & 7)))
        self.deleted.add(row)

    def among(self, matching: FrozenBitMap | None) -> int:
        """How many of these rows, None being all, are alive."""
        if matching is None:
            return self.count - len(self.deleted)
        return len(matching) - (matching.intersection_cardinality(self.deleted) if self.deleted else 0)

    def bits_of(self, matching: FrozenBitMap | None) -> Bits | None:
        """These rows, None being all, without the deleted ones; None when every row is among them."""
        if matching is None:
            return self.bits if self.deleted else None
        selected = to_bits(matching, self.count)
        return np.bitwise_and(selected, self.bits, out=selected)

    def rows_of(self, matching: FrozenBitMap | None) -> npt.NDArray[np.integer] | None:
        """As `bits_of`, their numbers."""
        if matching is not None:
            return rows_of(matching - self.deleted if self.deleted else matching)
        if not self.deleted:
            return None
        return np.flatnonzero(np.unpackbits(self.bits, count=self.count, bitorder="little"))


class ColdSegment(SegmentRows):
    """An open segment. `delete` edits the bitmap in place; everything else only reads."""

    kind = Tier.COLD

    def __init__(
        self,
        entry: SegmentEntry,
        file: SectionFile,
        graph: Graph | None,
        shape: Shape | None,
        metric: Metric,
        deleted: BitMap,
        memory: EngineMemory | None = None,
        graph_bytes: int = 0,
        covers: LSN = 0,
    ) -> None:
        """`graph_bytes` of the graph are in memory, which is charged; so is what is remembered of filters.
        `covers` as for SegmentRows."""
        self._charge = memory.graphs.charge(graph_bytes) if memory is not None else None
        self.checkpoint_deleted: BitMap = deleted.copy()
        """Rows deleted at the MANIFEST's sealed position; what a .dead file holds."""
        self._live = LiveRows(entry.row_count, deleted)
        super().__init__(file, entry.row_count, self._live.deleted, covers)
        self.entry = entry
        self.graph = graph
        self.shape = shape
        """As stored; None for a graph of an earlier version."""
        try:
            self._index = FrozenMetadataIndex(
                index_sections(file),
                self.rows,
                cache_account=None if memory is None else memory.filter_cache,
            )
        except ValueError as error:
            raise DataDamaged(f"metadata index: {error}", path=file.path) from None
        self.words, self.word_totals = self._read_words()
        if graph is not None and shape is None:
            shape = old_shape(metric, int(self.vectors.shape[1]), float(self.norms.max()))
        if graph is not None and shape is not None:
            points = self.rows if shape.equal is None else shape.equal.points
            if (graph.ntotal, graph.by_product) != (points, shape.coding.by_product):
                raise DataDamaged("graph and shape do not fit together", path=file.path)
        self._rows_of_vectors = np.asarray(
            self.vectors
        )  # sheds np.memmap, whose every slice costs microseconds
        self._least_ef = None if shape is None else shape.ef
        self._shares: ColdSegment | None = None
        """Whose graph this is, and who gives its charge back."""
        self._graph_search: GraphSearch | None = None
        if graph is not None and shape is not None:
            self._graph_search = GraphSearch(
                graph, shape, self.rows, self.ids, self._rows_of_vectors, self.norms
            )

    def _read_words(self) -> tuple[FrozenWords | None, WordTotals]:
        """The index of words, None where the collection has none, and what is counted of the live rows."""
        sections = word_sections(self.file)
        if not sections:
            return None, WordTotals()
        try:
            words = FrozenWords(sections, self.rows)
        except ValueError as error:
            raise DataDamaged(str(error), path=self.file.path) from None
        rows = self._live_rows(None)
        return words, WordTotals.of_rows(self.owners_of(rows), words.lengths(0, self.rows)[rows])

    def live_bits(self) -> Bits | None:
        """A copy of the bits of its live rows, None when all are alive."""
        return self._live.bits.copy() if self.deleted else None

    def __del__(self) -> None:
        if self._charge is not None:
            self._charge.give_back()

    def with_deleted(self, entry: SegmentEntry, deleted: BitMap) -> ColdSegment:
        """The same segment as `entry` names it, which differs in its deleted rows alone; files and graph are
        shared."""
        other = copy(self)
        other._shares, other._charge = self._shares or self, None
        other.entry = entry
        other.checkpoint_deleted = deleted
        other._live = LiveRows(entry.row_count, deleted)
        other.deleted = other._live.deleted
        other.words, other.word_totals = other._read_words()
        return other

    def forget(self, count: int) -> int:
        """Let go of so many bytes of what is remembered of filters; how many it was."""
        return self._index.forget(count)

    @property
    def live(self) -> int:
        return self._live.among(None)

    @property
    def index(self) -> FrozenMetadataIndex:
        """Which rows match a filter, deleted ones too."""
        return self._index

    def search_many(self, request: TierRequest) -> list[Candidates]:
        """The plan, then a walk through the graph or a scan of the rows that match."""
        live, graph = self._live, self._graph_search
        matching = None if request.filter is None else self._index.match(request.filter, request.pause)
        if matching is not None and len(matching) == self.rows:
            # As in a database of one tenant. Of all rows ever, not of the live ones: that number never changes.
            matching = None
        matched = live.among(matching) if matching is not None else live.count - len(live.deleted)
        plan = planner.choose(
            rows=live.count,
            matched=matched,
            k=request.k,
            ef=request.ef,
            filtered=matching is not None,
            has_graph=graph is not None,
            exact=request.exact,
            least_ef=self._least_ef,
        )
        text = f"cold {self.entry.number}: {plan.reason}"
        if plan.kind == "nothing":
            return [no_candidates(text)] * len(request.queries)
        reads_codes = (
            graph is not None and live.count >= _CODES_ROWS_MIN and matched >= _CODES_SHARE_MIN * live.count
        )
        bits = None
        if (plan.kind == "graph" or reads_codes) and (matching is not None or live.deleted):
            bits = live.bits_of(matching)
        among = Matching(matching, matched, bits, text)
        answers: list[Candidates] = []
        walked: Sequence[Candidates | Matching] = ()
        if plan.kind == "graph" and graph is not None:
            walked = graph.search_many(request, among, plan.ef)
        for number, query in enumerate(request.queries):
            found = walked[number] if walked else among
            if isinstance(found, Matching):
                found = self._scan(request, query, found, reads_codes)
            answers.append(found)
        return answers

    def _scan(self, request: TierRequest, query: Query, among: Matching, reads_codes: bool) -> Candidates:
        """What looking at every live row that matches finds."""
        if reads_codes and self._graph_search is not None:
            proved = self._graph_search.scan(request, query, among)
            if proved is not None:
                return proved
        selected = None
        if among.rows is not None or self._live.deleted:
            selected = self._live.rows_of(among.rows)
        wanted = request.k + (request.over_fetch or 0)
        found = flat.scan(self._rows_of_vectors, query, wanted, norms=self.norms, selected=selected)
        similarities = query.similarities(self._rows_of_vectors.take(found, 0), self.norms.take(found))
        best = flat.keep_best(found, similarities, request.k, request.over_fetch, among.count, query.metric)
        return Candidates(
            best.rows,
            self.ids.take(best.rows),
            best.similarities,
            among.count,
            among.count,
            True,
            among.plan,
            best.over_fetched,
            best.unseen_bound,
        )

    def count(self, condition: Filter | None) -> int:
        return self._live.among(None if condition is None else self._index.match(condition))

    def cost_us(self, condition: Filter) -> int:
        return self._index.cost_us(condition)

    def vector(self, row: int) -> Vector:
        vector: Vector = self.vectors[row]
        return vector

    def metadata(self, row: int) -> StoredMetadata:
        return StoredMetadata(self.public_of(row), self.reserved_of(row))

    def mapped_metadata(self, row: int) -> MappedMetadata:
        """`metadata`, read from the file when it is asked for."""
        start, end = self._public_offsets[row], self._public_offsets[row + 1]
        return MappedMetadata(self._public[start:end], self.reserved_of(row))

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        offsets, public = self._public_offsets, self._public
        return [public[offsets[row] : offsets[row + 1]].tobytes() for row in rows]

    def public_bytes(self, rows: Sequence[int]) -> int:
        offsets, total = self._public_offsets, 0
        for row in rows:
            total += offsets[row + 1] - offsets[row]
        return total

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        return self.ids[rows], np.asarray(self.vectors)[rows], self.norms[rows]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        ids: npt.NDArray[np.uint64] = self.ids[rows]
        return ids

    def live_by_owner(self) -> dict[int, int]:
        return {} if self.keys.owners is None else count_owners(self.keys.owners[self._live_rows(None)])

    def delete(self, row: int) -> None:
        if row not in self.deleted:
            self._live.delete(row)
            if self.words is not None:
                length = int(self.words.lengths(row, row + 1)[0])
                self.word_totals.went(int(self.owners_of(np.array([row]))[0]), length)

    def due(self, first_us: int, last_us: int) -> Iterator[tuple[int, Key]]:
        rows = self._index.numbers_between(EXPIRES_AT_KEY, first_us, last_us)
        rows = rows[(self._live.bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 != 0]
        return due_of(
            rows, lambda part: (self.ids[part], self.keys.owners_of(part)), self.reserved_of, last_us
        )

    def next_expiry_us(self, after_us: int) -> int:
        return as_instant_us(self._index.least_number(EXPIRES_AT_KEY, after_us))

    def next_rows(
        self, condition: Filter | None, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]:
        matching = None if condition is None else self._index.match(condition)
        if matching is not None and len(matching) * _BY_ID_FROM < self.rows:
            rows = rows_of(matching - self.deleted).astype(np.int64)
            return first_by_id(self.ids[rows], rows, after, count, descending=descending)
        bits = self._live.bits_of(matching)
        found, wanted = list[Rows](), count
        for rows in self.keys.by_id(after, descending=descending):
            if bits is not None:
                rows = rows[(bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 != 0]
            found.append(rows[:wanted])
            wanted -= len(found[-1])
            if not wanted:
                break
        first = np.concatenate([NO_ROWS, *found])
        return self.doc_ids_of(first), first

    def counting(self, condition: Filter | None, *, descending: bool = False) -> TierRows:
        bits = self._live.bits_of(None if condition is None else self._index.match(condition))
        marks = (
            None if bits is None else np.unpackbits(bits, count=self.rows, bitorder="little").view(np.bool_)
        )
        by_id = partial(self.keys.by_id, descending=descending)
        return TierRows(self.rows, marks, self.doc_ids_of, by_id)

    def live_rows_at(self, condition: Filter | None, ranks: npt.NDArray[np.int64]) -> Rows:
        return self._live_rows(condition)[ranks]

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        return self.doc_ids_of(self._live_rows(condition))

    def _live_rows(self, condition: Filter | None) -> Rows:
        live = BitMap(range(self.rows)) if condition is None else BitMap(self._index.match(condition))
        live -= self.deleted
        return rows_of(live).astype(np.int64)
