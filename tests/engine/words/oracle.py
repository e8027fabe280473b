"""BM25 as its definition reads, over all live documents one by one: what the engine is held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pykyro.index.words.analyser import Analyser
from pykyro.index.words.query import Clause, Occur, parse_query
from pykyro.model.typed_text import TypedText
from pykyro.model.words import WordsConfig


class Text(NamedTuple):
    """A document: the terms of each of its texts, by place, "" where a stop word is."""

    texts: list[list[str]]

    @property
    def terms(self) -> list[str]:
        return [term for text in self.texts for term in text if term]


class Oracle:
    """Of one collection."""

    def __init__(self, config: WordsConfig) -> None:
        self._config = config
        self._analyser = Analyser(config)

    def text(self, metadata: Mapping[str, str]) -> Text:
        values = [metadata.get(key) for key in self._config.keys]
        return Text([self._places(value) for value in values if type(value) is str])

    def _places(self, value: str) -> list[str]:
        assert not isinstance(value, TypedText)
        tokens = list(self._analyser.tokens(value))
        by_place = {token.place: token.term for token in tokens}
        return [by_place.get(place, "") for place in range(max(by_place, default=-1) + 1)]

    def scores(
        self, metadata: Mapping[int, Mapping[str, str]], query: str, among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The score of each document that matches, of those `among` which may; statistics are of all."""
        documents = {doc_id: self.text(entries) for doc_id, entries in metadata.items()}
        clauses = parse_query(query, self._analyser)
        vocabulary = {term for text in documents.values() for term in text.terms}
        found = {}
        for doc_id in documents if among is None else among:
            score = self._score(documents, vocabulary, clauses, doc_id)
            if score is not None:
                found[doc_id] = score
        return found

    def best(
        self,
        metadata: Mapping[int, Mapping[str, str]],
        query: str,
        k: int,
        among: Sequence[int] | None = None,
    ) -> list[tuple[int, float]]:
        found = self.scores(metadata, query, among)
        return sorted(found.items(), key=lambda each: (-each[1], each[0]))[:k]

    def _score(
        self,
        documents: Mapping[int, Text],
        vocabulary: set[str],
        clauses: Mapping[Clause, int],
        doc_id: int,
    ) -> float | None:
        text = documents[doc_id]
        weights: dict[str, int] = {}
        phrases: list[tuple[Clause, int]] = []
        for clause, times in clauses.items():
            terms = self._terms(clause, vocabulary)
            has = _has_phrase(clause, text) if clause.is_phrase else not terms.isdisjoint(text.terms)
            if (clause.occur is Occur.MUST and not has) or (clause.occur is Occur.NOT and has):
                return None
            if clause.occur is Occur.NOT:
                continue
            if clause.is_phrase:
                if has:
                    phrases.append((clause, times))
                continue
            for term in terms:
                weights[term] = weights.get(term, 0) + times
        score = 0.0
        for term in sorted(weights):
            score += self._of_term(documents, term, weights[term], text)
        for clause, times in sorted(
            phrases, key=lambda each: (each[0].terms, each[0].places, each[0].occur.value)
        ):
            for term in sorted(set(clause.terms)):
                score += self._of_term(documents, term, times, text)
        return score if score > 0 else None

    def _terms(self, clause: Clause, vocabulary: set[str]) -> set[str]:
        if clause.is_prefix:
            return {term for term in vocabulary if term.startswith(clause.terms[0])} | {clause.stem}
        return set(clause.terms)

    def _of_term(self, documents: Mapping[int, Text], term: str, weight: int, text: Text) -> float:
        often = text.terms.count(term)
        if not often:
            return 0.0
        n = len(documents)
        having = sum(term in each.terms for each in documents.values())
        average = sum(len(each.terms) for each in documents.values()) / n
        k1, b = self._config.k1, self._config.b
        idf = math.log(1 + (n - having + 0.5) / (having + 0.5))
        norm = k1 * (1 - b + b * len(text.terms) / average)
        return weight * idf * (often * (k1 + 1) / (often + norm))


def _has_phrase(clause: Clause, text: Text) -> bool:
    for terms in text.texts:
        for start in range(len(terms)):
            wanted = [(start + place, term) for place, term in zip(clause.places, clause.terms, strict=True)]
            if all(at < len(terms) and terms[at] == term for at, term in wanted):
                return True
    return False
