"""From what a person types to clauses of terms.

    word            should be there; a document needs one of these at least, unless something must be there
    "two words"     as a phrase: side by side, in this order
    begin*          any word that begins so
    +x              x must be there
    -x              x must not be there

x is a word, a phrase or a beginning. A sign counts in front of a word, nowhere else; a `*` behind one. A quotation
mark without another is none. What is left over has no meaning, so every text is a query. Where the analyser makes
several words of what has no space in it (wi-fi, 東京都), these should be there one by one, but are a phrase behind a
sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

import regex

from pykyro.index.words.analyser import Analyser, Token
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import QUERY_WORDS_MAX

_PART: Final = regex.compile(r'([+-]?)(?:"([^"]*)"|([^\s"]+))')


class Occur(Enum):
    """What a clause asks of a document."""

    SHOULD = "should"
    MUST = "must"
    NOT = "not"


_OCCUR: Final = {"": Occur.SHOULD, "+": Occur.MUST, "-": Occur.NOT}


@dataclass(frozen=True, slots=True)
class Clause:
    """A term, a phrase of several with their places after the first, or with `is_prefix` what terms begin with.

    `stem` is the term that the whole beginning has as a word: "databases*" should find databases, whose term is
    shorter.
    """

    occur: Occur
    terms: tuple[str, ...]
    places: tuple[int, ...] = (0,)
    is_prefix: bool = False
    stem: str = ""

    @property
    def is_phrase(self) -> bool:
        return len(self.terms) > 1


def parse_query(text: str, analyser: Analyser) -> dict[Clause, int]:
    """The clauses of a query, and how often each is said. Raises InvalidArgument for more than QUERY_WORDS_MAX."""
    clauses: dict[Clause, int] = {}
    words = 0
    for clause in _clauses(text, analyser):
        words += len(clause.terms)
        if words > QUERY_WORDS_MAX:
            raise InvalidArgument(
                f"text has more than {QUERY_WORDS_MAX} words: name those that matter", field="text"
            )
        clauses[clause] = clauses.get(clause, 0) + 1
    return clauses


def _clauses(text: str, analyser: Analyser) -> Iterator[Clause]:
    for match in _PART.finditer(text):
        sign, quoted, plain = match[1], match[2], match[3]
        occur, part = _OCCUR[sign], quoted if quoted is not None else plain
        tokens = list(islice(analyser.tokens(part), QUERY_WORDS_MAX + 1))
        if not tokens:
            continue
        ending = None
        if quoted is None and part.endswith("*") and tokens[-1].end == len(part.rstrip("*")):
            last = tokens.pop()
            word = part[last.start : last.end]
            ending = Clause(occur, (analyser.prefix(word),), is_prefix=True, stem=last.term)
        if quoted is not None or (occur is not Occur.SHOULD and len(tokens) > 1):
            yield _phrase(occur, tokens)
        else:
            for token in tokens:
                yield Clause(occur, (token.term,))
        if ending is not None:
            yield ending


def _phrase(occur: Occur, tokens: list[Token]) -> Clause:
    first = tokens[0].place
    return Clause(
        occur, tuple(token.term for token in tokens), tuple(token.place - first for token in tokens)
    )


def has_phrase(clause: Clause, terms: Sequence[str]) -> bool:
    """Whether a text that has these terms, by place, has the phrase."""
    first, length = clause.terms[0], len(terms)
    sought = list(zip(clause.places[1:], clause.terms[1:], strict=True))
    at = -1
    while True:
        try:
            at = terms.index(first, at + 1)
        except ValueError:
            return False
        if all(at + place < length and terms[at + place] == term for place, term in sought):
            return True
