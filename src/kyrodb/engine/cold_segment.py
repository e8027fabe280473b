"""A cold segment: rows that never change, mapped from disk, and the bitmap of those that have died.

Sections of its .rows file, one entry a row unless said otherwise:

    ids             u64   doc_id
    sorted_ids      u64   the same, ascending
    sorted_rows     u32   the row of each sorted id
    vectors         f32   (rows, dimension), as the client sent them
    norms           f64   their Euclidean lengths
    public_offsets  u64   rows + 1 offsets into `public`: metadata for clients, see metadata_wire.py
    reserved_offsets, reserved   the same for the reserved keys
    index:*               the metadata index, see index/metadata_index.py

The .graph file is the HNSW graph over the rows in index form; small segments have none and are scanned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from kyrodb.distance import Question, similarities_together
from kyrodb.engine.requests import Tier
from kyrodb.engine.stored_metadata import StoredMetadata
from kyrodb.engine.tier import Candidates, TierQuery, no_candidates, scanned
from kyrodb.errors import DataDamaged
from kyrodb.index import flat, planner
from kyrodb.index.bitmaps import rows_of, to_bits
from kyrodb.index.filter import Filter
from kyrodb.index.hnsw import Graph, graph_from_bytes, load_graph
from kyrodb.index.metadata_index import FrozenMetadataIndex
from kyrodb.index.rounding import similarity_at_most
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import SegmentEntry
from kyrodb.storage.section_file import SectionFile, open_section_file
from kyrodb.storage.verify import verify_graph
from kyrodb.types import Bits, Matrix, Metric, Rows, Vector

INDEX_PREFIX: Final = "index:"
DEAD_SECTION: Final = "dead_rows"
_WIDENING: Final = 4
"""A graph walk that met too few matching rows is repeated once this much wider before the rows are scanned."""


class ColdSegment:
    """An open segment. `kill` edits the bitmap in place; everything else only reads."""

    kind = Tier.COLD

    def __init__(
        self, entry: SegmentEntry, file: SectionFile, graph: Graph | None, metric: Metric, dead: BitMap
    ) -> None:
        self.entry = entry
        self.mapping = file.data
        self.rows = entry.row_count
        self.checkpoint_dead: BitMap = dead.copy()
        """Rows dead at the MANIFEST's sealed position; what a .dead file holds."""
        self.dead: BitMap = dead.copy()
        self._metric = metric
        self.graph = graph
        self._ids = file.section("ids")
        self._sorted_ids = file.section("sorted_ids")
        self._sorted_rows = file.section("sorted_rows")
        self.vectors = file.section("vectors")
        self.norms = file.section("norms")
        self._public_offsets = file.section("public_offsets").data
        self._public = file.section("public").data
        self._reserved_offsets, self._reserved = file.section("reserved_offsets"), file.section("reserved")
        if not self._shapes_agree():
            raise DataDamaged("sections have different numbers of rows", path=file.path)
        index = {
            name.removeprefix(INDEX_PREFIX): file.section(name)
            for name in file.section_names
            if name.startswith(INDEX_PREFIX)
        }
        try:
            self._index = FrozenMetadataIndex(index, self.rows)
        except ValueError as error:
            raise DataDamaged(f"metadata index: {error}", path=file.path) from None
        self._live_bits: Bits = np.packbits(np.ones(self.rows, dtype=np.bool_), bitorder="little")
        for row in dead:
            self._clear_bit(row)
        self._first_id, self._last_id = int(self._sorted_ids[0]), int(self._sorted_ids[-1])

    @property
    def live(self) -> int:
        return self.rows - len(self.dead)

    def search_many(self, query: TierQuery) -> list[Candidates]:
        matching = None if query.filter is None else self._index.match(query.filter)
        if matching is not None and len(matching) == self.rows:
            # As in a database of one tenant. Of all rows ever, not of the live ones: that number never changes.
            matching = None
        matched = self._live_among(matching)
        plan = planner.choose(
            rows=self.rows,
            matched=matched,
            k=query.k,
            ef=query.ef,
            has_graph=self.graph is not None,
            exact=query.exact,
        )
        text = f"cold {self.entry.number}: {plan.reason}"
        if plan.kind == "graph":
            return self._walk_or_scan(query, matching, matched, plan.ef, text)
        if plan.kind == "scan":
            return [self._scan(query, question, matching, matched, text) for question in query.questions]
        return [no_candidates(text)] * len(query.questions)

    def count(self, condition: Filter | None) -> int:
        return self._live_among(None if condition is None else self._index.match(condition))

    def _live_among(self, matching: FrozenBitMap | None) -> int:
        """How many of these rows, None being all, are alive."""
        if matching is None:
            return self.live
        return len(matching) - (matching.intersection_cardinality(self.dead) if self.dead else 0)

    def _walk_or_scan(
        self, query: TierQuery, matching: FrozenBitMap | None, matched: int, ef: int, plan: str
    ) -> list[Candidates]:
        """What the graph finds; for questions of which it does not reach k rows, even when wider, a scan."""
        answers = self._walk(query, matching, matched, ef, plan)
        short = [at for at, answer in enumerate(answers) if answer is None]
        if short:
            again = replace(query, questions=[query.questions[at] for at in short])
            wider = self._walk(again, matching, matched, ef * _WIDENING, plan)
            for at, question, answer in zip(short, again.questions, wider, strict=True):
                answers[at] = answer or self._scan(query, question, matching, matched, plan)
        return [answer for answer in answers if answer is not None]

    def _walk(
        self, query: TierQuery, matching: FrozenBitMap | None, matched: int, ef: int, plan: str
    ) -> list[Candidates | None]:
        """What the graph finds for each; None for one that does not reach k of the rows that match."""
        graph, questions = self.graph, query.questions
        assert graph is not None
        if matching is None:
            selected = self._live_bits if self.dead else None
        else:
            selected = to_bits(matching, self.rows)
            np.bitwise_and(selected, self._live_bits, out=selected)
        # Rows beyond k make up for what bfloat16 put in the wrong order.
        ranked = min(matched, query.k + max(5, query.k // 4))
        wanted = min(matched, max(ranked, min(ef, query.wanted)))
        found, reported = graph.search_many([one.indexed for one in questions], wanted, ef, selected)
        counts, best = [wanted] * len(questions), found if wanted == ranked else found[:, :ranked]
        if any(found.item(at, -1) < 0 for at in range(len(questions))):
            # Places where nothing was found hold row 0 for the arithmetic, and are cut off behind it.
            counts, best = np.count_nonzero(found >= 0, axis=1).tolist(), np.maximum(best, 0)
        similarities = similarities_together(questions, self.vectors.take(best, 0), self.norms.take(best))
        doc_ids = self._ids.take(best)
        answers: list[Candidates | None] = []
        for at, count in enumerate(counts):
            if count < min(query.k, matched):
                answers.append(None)
                continue
            shown, beyond = min(ranked, count), math.inf
            if query.spare is not None:
                last = float(reported[at, count - 1])
                beyond = self._beyond(questions[at], last, count, wanted, matched)
            answers.append(
                Candidates(
                    best[at, :shown],
                    doc_ids[at, :shown],
                    similarities[at, :shown],
                    matched,
                    ef,
                    False,
                    plan,
                    found[at, ranked:count],
                    beyond,
                )
            )
        return answers

    def _beyond(self, question: Question, last: float, found: int, wanted: int, matched: int) -> float:
        """`Candidates.beyond` of a walk that found so many of the rows wanted, the last this similar."""
        if found >= matched:
            return -math.inf
        if found < wanted:
            return math.inf
        return similarity_at_most(
            last,
            self._metric,
            dimension=self.vectors.shape[1],
            query_length=question.length,
            longest_row=self._longest_row,
        )

    @cached_property
    def _longest_row(self) -> float:
        return 1.0 if self._metric is Metric.COSINE else float(self.norms.max())

    def _scan(
        self,
        query: TierQuery,
        question: Question,
        matching: FrozenBitMap | None,
        matched: int,
        plan: str,
    ) -> Candidates:
        """What looking at every live row that matches finds."""
        selected: npt.NDArray[np.integer] | None
        if matching is None and not self.dead:
            selected = None
        elif matching is None:
            selected = np.flatnonzero(np.unpackbits(self._live_bits, count=self.rows, bitorder="little"))
        else:
            selected = rows_of(matching - self.dead if self.dead else matching)
        found, _ = flat.scan(
            self.vectors,
            question.vector,
            self._metric,
            query.wanted,
            norms=self.norms,
            selected=selected,
        )
        similarities = question.similarities(self.vectors[found], self.norms[found])
        return scanned(query, found, self._ids[found], similarities, matched, plan)

    def lookup(self, doc_id: int) -> int | None:
        if not self._first_id <= doc_id <= self._last_id:
            return None
        # A merge that extends a graph keeps dead rows, so an id may stand here more than once; one at most lives.
        at = int(np.searchsorted(self._sorted_ids, np.uint64(doc_id)))
        while at < self.rows and self._sorted_ids[at] == doc_id:
            row = int(self._sorted_rows[at])
            if row not in self.dead:
                return row
            at += 1
        return None

    def vector(self, row: int) -> Vector:
        vector: Vector = self.vectors[row]
        return vector

    def metadata(self, row: int) -> StoredMetadata:
        start, end = self._reserved_offsets[row : row + 2].tolist()
        (public,) = self.public_metadata([row])
        return StoredMetadata(public, self._reserved[start:end].tobytes())

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        offsets, public = self._public_offsets, self._public
        return [public[offsets[row] : offsets[row + 1]].tobytes() for row in rows]

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        return self._ids[rows], np.asarray(self.vectors)[rows], self.norms[rows]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        ids: npt.NDArray[np.uint64] = self._ids[rows]
        return ids

    def kill(self, row: int) -> None:
        if row not in self.dead:
            self._clear_bit(row)
            self.dead.add(row)

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        live = BitMap(range(self.rows)) if condition is None else BitMap(self._index.match(condition))
        live -= self.dead
        return self.doc_ids_of(rows_of(live).astype(np.int64))

    def _clear_bit(self, row: int) -> None:
        # Searches in flight read this bitmap; one byte changes at once or not at all.
        self._live_bits[row >> 3] &= np.uint8(0xFF ^ (1 << (row & 7)))

    def _shapes_agree(self) -> bool:
        per_row = (self._ids, self._sorted_ids, self._sorted_rows, self.vectors, self.norms)
        offsets = (self._public_offsets, self._reserved_offsets)
        return (
            self.rows > 0
            and all(len(array) == self.rows for array in per_row)
            and all(len(array) == self.rows + 1 for array in offsets)
        )


def open_segment(
    filesystem: FileSystem,
    directory: Path,
    entry: SegmentEntry,
    metric: Metric,
    *,
    verify: bool = True,
    mapped_graph: bool = True,
) -> ColdSegment:
    """Map a segment the MANIFEST names, every byte proved first. Raises DataDamaged, OSError.

    `verify=False` is for files this process has just written and synced. Without `mapped_graph` the graph is read
    into memory, for searches that last.
    """
    file = open_section_file(filesystem, directory / entry.rows.name, entry.rows.facts, verify=verify)
    dimension = int(file.section("vectors").shape[1])
    graph = _open_graph(filesystem, directory, entry, dimension, verify=verify, mapped=mapped_graph)
    dead = BitMap()
    if entry.dead is not None:
        path = directory / entry.dead.name
        rows = open_section_file(filesystem, path, entry.dead.facts).section(DEAD_SECTION)
        if len(rows) != entry.dead_count or (len(rows) and int(rows.max()) >= entry.row_count):
            raise DataDamaged("dead rows do not fit the segment", path=path)
        dead = BitMap(rows)
    return ColdSegment(entry, file, graph, metric, dead)


def _open_graph(
    filesystem: FileSystem,
    directory: Path,
    entry: SegmentEntry,
    dimension: int,
    *,
    verify: bool,
    mapped: bool,
) -> Graph | None:
    if entry.graph is None:
        return None
    path = directory / entry.graph.name
    if verify:
        # The library believes whatever it reads, so it is given nothing that was not proved.
        verify_graph(filesystem, path, entry.graph.facts)
    try:
        native = filesystem.native_path(path)
        if native is not None:
            return load_graph(native, rows=entry.row_count, dimension=dimension, mapped=mapped)
        data = np.frombuffer(filesystem.map(path), dtype=np.uint8)
        return graph_from_bytes(data, rows=entry.row_count, dimension=dimension)
    except ValueError as error:
        raise DataDamaged(f"graph: {error}", path=path) from None
