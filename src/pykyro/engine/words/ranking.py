"""The best documents by words: of all tiers of a snapshot, in the order of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pykyro.engine.tiers.tier import SearchTier
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.words.scoring import Scored, TierScores
from pykyro.engine.words.snapshot import Snapshot, WordTier
from pykyro.engine.words.sought import Sought, count_documents, sought_in
from pykyro.index.words.bm25 import Bm25
from pykyro.index.words.query import parse_query
from pykyro.model.filter import Filter
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.types import Rows


@dataclass(slots=True)
class WordHit:
    """A document that was found, where it stands, and its score."""

    doc_id: int
    score: float
    tier: WordTier
    row: int


@dataclass(slots=True)
class ByWords:
    """What is found by words: the best, in order, how many match, and what was looked for. `tiers` can tell the score
    of any row."""

    best: list[WordHit]
    matched: int
    sought: Sought
    snapshot: Snapshot
    tiers: list[TierScores] = field(default_factory=list)

    def scores_of(self, tier: SearchTier, rows: Rows) -> list[float]:
        """The score of each of these rows, ascending; 0 for one that does not match."""
        for then, scores in zip(self.snapshot.tiers, self.tiers):
            if then.tier is tier:
                found: list[float] = scores.of(rows).tolist()
                return found
        return [0.0] * len(rows)


def find_by_words(
    words: CollectionWords,
    snapshot: Snapshot,
    text: str,
    condition: Filter | None,
    count: int,
    pause: Callable[[], None],
    *,
    text_ids: bool,
) -> ByWords:
    """The `count` documents of the snapshot that satisfy `condition` and answer `text` best. Raises InvalidArgument
    when that would take too long."""
    sought = sought_in(snapshot, parse_query(text, words.analyser))
    found = ByWords([], 0, sought, snapshot)
    if not sought.scores:
        return found
    count_documents(sought, snapshot)
    bm25 = Bm25(words.config.k1, words.config.b, snapshot.corpus)
    candidates: list[WordHit] = []
    for then, postings in zip(snapshot.tiers, sought.postings, strict=True):
        among = then.counted if condition is None else then.matching(condition)
        scores = TierScores(then, among, sought, postings, bm25, words)
        found.tiers.append(scores)
        for block in scores.blocks(pause):
            found.matched += len(block.rows)
            best = _best(block, count)
            ids = then.tier.doc_ids_of(best.rows).tolist()
            candidates += map(WordHit, ids, best.scores.tolist(), [then.tier] * len(ids), best.rows.tolist())
    found.best = _in_order(candidates, count, text_ids=text_ids)
    return found


def _best(found: Scored, count: int) -> Scored:
    """The `count` best, and those that are as good as the last of them."""
    rows, scores = found
    if len(rows) <= count:
        return found
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    good = np.flatnonzero(scores >= least)
    return Scored(rows[good], scores[good])


def _in_order(candidates: list[WordHit], count: int, *, text_ids: bool) -> list[WordHit]:
    """The first `count` by falling score, equal ones by id."""
    if not text_ids:
        return sorted(candidates, key=lambda hit: (-hit.score, hit.doc_id))[:count]
    candidates.sort(key=lambda hit: -hit.score)
    if len(candidates) > count:
        least = candidates[count - 1].score
        candidates = [hit for hit in candidates if hit.score >= least]
    texts = dict(zip(map(id, candidates), _texts_of(candidates), strict=True))
    return sorted(candidates, key=lambda hit: (-hit.score, texts[id(hit)]))[:count]


def _texts_of(hits: Sequence[WordHit]) -> list[str]:
    """Their ids, where these are text."""
    return [text_id_in(hit.tier.public_metadata([hit.row])[0]) for hit in hits]
