"""What a query asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.words.analyser import Analyser
from pykyro.index.words.query import has_phrase, parse_query
from pykyro.model.words import WordsConfig

ANALYSER = Analyser(WordsConfig(("text",), "english", stop_words=True))


def shown(query: str) -> list[str]:
    """Clauses in short: sign, terms, star; how often, if several times."""
    found = []
    for clause, times in parse_query(query, ANALYSER).items():
        sign = {"should": "", "must": "+", "not": "-"}[clause.occur.value]
        star = "*" if clause.is_prefix else ""
        found.append(f"{sign}{'_'.join(clause.terms)}{star}{'' if times == 1 else times}")
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lazy foxes", ["lazi", "fox"]),
        ("fox Fox foxes", ["fox3"]),
        ('"lazy fox" +dog -cat', ["lazi_fox", "+dog", "-cat"]),
        ('-"lazy fox" +"quick" +wi-fi', ["-lazi_fox", "+quick", "+wi_fi"]),
        ("databas* +Form* -b*", ["databas*", "+form*", "-b*"]),
        ("wi-fi* 東京都", ["wi", "fi*", "東京", "京都"]),
        ("+東京都", ["+東京_京都"]),
        ('one "two three', ["one", "two", "three"]),
        ('C++ e-mail - + * "" the', ["c", "e", "mail"]),
        ("", []),
    ],
)
def test_clauses(query: str, expected: list[str]) -> None:
    assert shown(query) == expected


def test_a_phrase_keeps_the_gaps_of_stop_words() -> None:
    (clause,) = parse_query('"state of the art"', ANALYSER)
    assert (clause.terms, clause.places) == (("state", "art"), (0, 3))
    assert has_phrase(clause, ANALYSER.terms("the state of an art"))
    assert not has_phrase(clause, ANALYSER.terms("state art"))
    assert not has_phrase(clause, ANALYSER.terms("art of the state"))


@given(st.text() | st.lists(st.sampled_from('+-"* ab東'), max_size=30).map("".join))
def test_any_text_is_a_query(query: str) -> None:
    for clause in parse_query(query, ANALYSER):
        assert len(clause.terms) == len(clause.places) >= 1
