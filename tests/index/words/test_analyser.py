"""What the words of a text are."""

from __future__ import annotations

from collections import Counter

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.words.analyser import Analyser
from pykyro.model.languages import LANGUAGES, SIMPLE
from pykyro.model.limits import WORD_CHARS_MAX
from pykyro.model.words import WordsConfig


def terms(text: str, language: str = SIMPLE, *, stop_words: bool = False) -> list[str]:
    analyser = Analyser(WordsConfig(("text",), language, stop_words=stop_words))
    return [token.term for token in analyser.tokens(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Don't STOP, e.g. at example.com: 3.14 or 1,000!",
            ["don't", "stop", "e.g", "at", "example.com", "3.14", "or", "1,000"],
        ),
        ("snake_case kebab-case C++", ["snake_case", "kebab", "case", "c"]),
        ("Café cafe\u0301 naïve Ångström ﬁne", ["cafe", "cafe", "naive", "angstrom", "fine"]),
        ("straße STRASSE İzmir", ["strasse", "strasse", "izmir"]),
        ("it’s it's", ["it's", "it's"]),
        ("東京都に 東", ["東京", "京都", "都に", "東"]),
        ("ｶﾞｷﾞ ガギ 안녕", ["ガギ", "ガギ", "안녕"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("x" * 1000, ["x" * WORD_CHARS_MAX]),
        ("🙂 ... —", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_stems_and_accents() -> None:
    assert terms("running Runs ran", "english") == ["run", "run", "ran"]
    assert terms("L'économie economie", "french") == ["l", "econom", "econom"]
    assert terms("новый новые ёлка", "russian") == ["нов", "нов", "елк"]


def test_stop_words_keep_their_place() -> None:
    tokens = list(
        Analyser(WordsConfig(("text",), "english", stop_words=True)).tokens("The cat is on the mat")
    )
    assert [(token.term, token.place) for token in tokens] == [("cat", 1), ("mat", 5)]


def test_every_language_has_its_stemmer() -> None:
    assert set(LANGUAGES) - {SIMPLE} <= set(Stemmer.algorithms())
    for language in LANGUAGES:
        assert terms("word 東京", language)[1] == "東京"


PIECES = st.sampled_from([*"ab1_.,;'’ :-é\u00a0東\u3000\u0301\nก京A2٣", "the ", "can't "])


@given(
    text=st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=40),
    language=st.sampled_from([SIMPLE, "english", "french"]),
)
def test_counting_and_tokens_agree(text: str, language: str) -> None:
    """Though ASCII is cut by another expression."""
    analyser = Analyser(WordsConfig(("text",), language))
    tokens = list(analyser.tokens(text))
    counts, length = analyser.count([text])
    assert (counts, length) == (Counter(token.term for token in tokens), len(tokens))
    assert [term for term in analyser.terms(text) if term] == [token.term for token in tokens]
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        token.term.encode()
