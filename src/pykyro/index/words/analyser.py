"""From a text to its words, the same for documents and queries.

    cut     where Unicode's default rules do (UAX #29), but at colons too; scripts that put no spaces between words
            (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) in runs, whose words are all pairs of neighbours
    fold    compatibility forms and case (NFKC of the case-folded word)
    stop    left out, if the collection wants that; the others keep their places
    stem    by the Snowball algorithm of the language, "simple" has none
    fold    accents: marks over Latin, Greek and Cyrillic letters go

Accents go last, because stemmers know the letters of their language. A change that gives other words to the same text
raises ANALYSER in model/words.py: what is stored is not analysed again.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import regex
import Stemmer

from pykyro.index.words.stop_words import STOP_WORDS
from pykyro.model.languages import SIMPLE
from pykyro.model.limits import WORD_CHARS_MAX
from pykyro.model.words import WordsConfig

_SCRIPTS: Final = "Han Hiragana Katakana Hangul Bopomofo Thai Lao Khmer Myanmar"
_UNSPACED: Final = "".join(rf"\p{{{script}}}" for script in _SCRIPTS.split()) + r"\u30fc\uff70\uff9e\uff9f"
_LETTER: Final = rf"[\p{{L}}--[{_UNSPACED}]]"
_WORD: Final = rf"[[\p{{L}}\p{{M}}\p{{N}}\p{{Pc}}]--[{_UNSPACED}]]+"
_NUMBERS: Final = rf"(?<=\p{{Nd}})[.,;'’](?=\p{{Nd}}){_WORD}"
_ELIDING: Final = frozenset({"catalan", "french", "italian"})
"""Languages whose apostrophe stands between two words."""
_WITH_OTHERS: Final = re.compile(r"((?<!\S)[^\s\x80-\U0010ffff]*+[^\x00-\x7f]\S*+)")
"""What stands between spaces and is not ASCII alone."""
_MARKS: Final = regex.compile(r"[\u0300-\u036f]+")
_UNSPACED_RUN: Final = regex.compile(rf"(?V1)[{_UNSPACED}]")
_KNOWN_MAX: Final = 1 << 16
"""Words whose terms are remembered."""


class Token(NamedTuple):
    """A word of a text: its term, its place among all words, and the characters it has."""

    term: str
    place: int
    start: int
    end: int


class Analyser:
    """The analyser of a collection. Any thread may call any method."""

    def __init__(self, config: WordsConfig) -> None:
        apostrophe = "" if config.language in _ELIDING else "'’"
        letters = rf"(?<=\p{{L}}\p{{M}}*)[.·‧{apostrophe}](?={_LETTER}){_WORD}"
        self._pattern = regex.compile(
            rf"(?V1)[{_UNSPACED}][{_UNSPACED}\p{{M}}]*|{_WORD}(?:{letters}|{_NUMBERS})*"
        )
        self._ascii = re.compile(
            rf"[A-Za-z0-9_]+(?:(?<=[A-Za-z])[.{apostrophe[:1]}](?=[A-Za-z])[A-Za-z0-9_]+"
            r"|(?<=[0-9])[.,;'](?=[0-9])[A-Za-z0-9_]+)*"
        )
        """The same for texts of ASCII, in a third of the time."""
        self._stop_words = STOP_WORDS[config.language] if config.stop_words else frozenset()
        self._stem: Callable[[str], str] | None = None
        if config.language != SIMPLE:
            self._stem = Stemmer.Stemmer(config.language).stemWord
        self._stemming = threading.Lock()
        """A stemmer is for one thread at a time."""
        self._known: dict[str, str] = {}
        """The terms of words, "" for stop words."""

    def count(self, texts: Iterable[str]) -> tuple[dict[str, int], int]:
        """How often each term is in these texts, and how many words they have."""
        counts: dict[str, int] = {}
        for text in texts:
            known = self._known
            for word, times in self._counted(text).items():
                term = known.get(word)
                if term:
                    counts[term] = counts.get(term, 0) + times
                elif term is None:
                    for one in self._terms(word):
                        if one:
                            counts[one] = counts.get(one, 0) + times
        return counts, sum(counts.values())

    def _counted(self, text: str) -> Counter[str]:
        """How often the pattern finds each word."""
        if text.isascii():
            return Counter(self._ascii.findall(text))
        # Most of a text in a Latin script is ASCII, and no word has a space in it.
        parts = _WITH_OTHERS.split(text)
        counted = Counter(self._ascii.findall("\n".join(parts[::2])))
        counted.update(self._pattern.findall("\n".join(parts[1::2])))
        return counted

    def tokens(self, text: str) -> Iterator[Token]:
        """The words of one text, in order."""
        place = 0
        for match in self._pattern.finditer(text):
            word, (start, end) = match[0], match.span()
            terms = self._terms(word)
            exact = len(terms) > 1 and len(terms) == end - start - 1
            for at, term in enumerate(terms):
                if term:
                    first, last = (start + at, start + at + 2) if exact else (start, end)
                    yield Token(term, place, first, last)
                place += 1

    def terms(self, text: str) -> list[str]:
        """The terms of one text by their places, "" in place of a stop word."""
        found: list[str] = []
        for word in (self._ascii if text.isascii() else self._pattern).findall(text):
            term = self._known.get(word)
            if term is None:
                found += self._terms(word)
            else:
                found.append(term)
        return found

    def prefix(self, word: str) -> str:
        """What terms begin with that begin as this word does: folded, not stemmed."""
        return _without_marks(_folded(word))

    def _terms(self, word: str) -> tuple[str, ...]:
        """The terms of what the pattern found."""
        known = self._known.get(word)
        if known is not None:
            return (known,)
        if _UNSPACED_RUN.match(word):
            run = unicodedata.normalize("NFKC", word)
            return tuple(run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else (run,)
        term = self._term(_folded(word))
        if len(self._known) >= _KNOWN_MAX:
            self._known = {}
        if len(word) <= WORD_CHARS_MAX:
            self._known[word] = term
        return (term,)

    def _term(self, folded: str) -> str:
        if folded in self._stop_words:
            return ""
        if self._stem is not None:
            with self._stemming:
                folded = self._stem(folded)
        return _without_marks(folded)


def _folded(word: str) -> str:
    if word.isascii():
        return word[:WORD_CHARS_MAX].lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return folded.replace("’", "'")[:WORD_CHARS_MAX]


def _without_marks(word: str) -> str:
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", word)))
