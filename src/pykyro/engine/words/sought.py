"""What a query looks for among the documents of one snapshot: its terms, how often each is said, and in how many
documents each is. And what that takes, before it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pykyro.engine.words.snapshot import Snapshot, TierThen
from pykyro.index.words.postings import Postings
from pykyro.index.words.query import Clause, Occur
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FILTER_COST_US_MAX

_LOOK_UP_US: Final = 20
_TERM_US: Final = 3
"""Of a term that begins as a prefix does."""
POSTINGS_PER_US: Final = 100
_PHRASE_ROW_US: Final = 10
"""Of a row whose text is read to see whether it has a phrase, and a microsecond for so many words of it."""
_READ_WORDS_PER_US: Final = 2


@dataclass(frozen=True, slots=True)
class PhraseSought:
    """A phrase, and how often the query says it."""

    clause: Clause
    weight: int


@dataclass(slots=True)
class Sought:
    """`weights` are those of terms that score; `must` and `never` have the terms of each clause, of which one is
    enough. `postings` are those of each tier by term, and `documents` in how many documents a term is."""

    weights: dict[str, int] = field(default_factory=dict)
    must: list[frozenset[str]] = field(default_factory=list)
    never: list[frozenset[str]] = field(default_factory=list)
    phrases: list[PhraseSought] = field(default_factory=list)
    postings: list[dict[str, Postings]] = field(default_factory=list)
    documents: dict[str, int] = field(default_factory=dict)
    cost_us: int = 0

    @property
    def scores(self) -> bool:
        """Whether any document can have a score."""
        return bool(self.weights) or any(phrase.clause.occur is not Occur.NOT for phrase in self.phrases)

    @property
    def shown_terms(self) -> set[str]:
        """Those that a document is found by."""
        return {
            *self.weights,
            *(
                t
                for phrase in self.phrases
                if phrase.clause.occur is not Occur.NOT
                for t in phrase.clause.terms
            ),
        }

    @property
    def terms(self) -> set[str]:
        """All there are."""
        of_clauses: Iterable[Iterable[str]] = (*self.must, *self.never)
        return {
            *self.weights,
            *(term for terms in of_clauses for term in terms),
            *(term for phrase in self.phrases for term in phrase.clause.terms),
        }


def sought_in(snapshot: Snapshot, clauses: Mapping[Clause, int]) -> Sought:
    """What these clauses look for. Raises InvalidArgument when that would take too long."""
    sought = Sought()
    sought.cost_us = _LOOK_UP_US * len(clauses) * (1 + len(snapshot.tiers))
    _check_cost(sought.cost_us)
    # A fixed order, in which scores are summed up.
    for clause in sorted(clauses, key=lambda each: (each.terms, each.places, each.occur.value)):
        _add(sought, snapshot, clause, clauses[clause])
    terms = sorted(sought.terms)
    sought.weights = {term: sought.weights[term] for term in sorted(sought.weights)}
    sought.cost_us += _LOOK_UP_US * len(terms) * len(snapshot.tiers)
    _check_cost(sought.cost_us)
    corpus = snapshot.corpus
    phrase_row_us = _PHRASE_ROW_US + corpus.words // (_READ_WORDS_PER_US * max(1, corpus.documents))
    for tier in snapshot.tiers:
        found = {term: some for term in terms if (some := tier.words.postings(term)) is not None}
        sought.postings.append(found)
        sizes = {term: len(postings.rows) for term, postings in found.items()}
        sought.cost_us += sum(sizes.values()) // POSTINGS_PER_US
        for phrase in sought.phrases:
            sought.cost_us += phrase_row_us * min(sizes.get(term, 0) for term in phrase.clause.terms)
        _check_cost(sought.cost_us)
    return sought


def count_documents(sought: Sought, snapshot: Snapshot) -> None:
    """Count the documents that have each term."""
    for tier, found in zip(snapshot.tiers, sought.postings, strict=True):
        for term, postings in found.items():
            sought.documents[term] = sought.documents.get(term, 0) + _counted(tier, postings)


def _counted(tier: TierThen, postings: Postings) -> int:
    rows = postings.rows
    if tier.counted is None:
        return len(rows)
    if len(rows) and rows[-1] >= tier.rows:
        rows = rows[: np.searchsorted(rows, tier.rows)]
    return int(np.count_nonzero(tier.counted[rows]))


def _add(sought: Sought, snapshot: Snapshot, clause: Clause, times: int) -> None:
    if clause.is_phrase:
        sought.phrases.append(PhraseSought(clause, times))
        return
    terms = _beginning(sought, snapshot, clause) if clause.is_prefix else frozenset(clause.terms)
    if clause.occur is Occur.NOT:
        sought.never.append(terms)
        return
    if clause.occur is Occur.MUST:
        sought.must.append(terms)
    for term in terms:
        sought.weights[term] = sought.weights.get(term, 0) + times


def _beginning(sought: Sought, snapshot: Snapshot, clause: Clause) -> frozenset[str]:
    """The terms that begin so, in any tier."""
    found = {clause.stem} if clause.stem else set()
    for tier in snapshot.tiers:
        for term in tier.words.terms_from(clause.terms[0]):
            sought.cost_us += _TERM_US
            found.add(term)
            if not len(found) % 1024:
                _check_cost(sought.cost_us + _LOOK_UP_US * len(found) * len(snapshot.tiers))
    return frozenset(found)


def _check_cost(total_us: int) -> None:
    if total_us > FILTER_COST_US_MAX:
        raise InvalidArgument(
            f"text would take about {total_us / 1e6:.1f} s of a processor; the maximum is "
            f"{FILTER_COST_US_MAX / 1e6:.1f} s: name fewer words, longer beginnings, or phrases with a rarer word",
            field="text",
        )
