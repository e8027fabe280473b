"""The model of what was acknowledged: it accepts what may be, and nothing else."""

from __future__ import annotations

from tests.siege.documents import Documents, Recipe

KEY = ("acme", 1)
FIRST, SECOND = Recipe(1, 3, 300), Recipe(2, 2, 100, own_keys=True)


def test_what_is_acknowledged_must_be_there() -> None:
    documents = Documents()
    documents.put(KEY, FIRST, sure=True)
    assert documents.wrong(KEY, FIRST.metadata()) == ""
    assert "is absent; it may be Recipe(serial=1" in documents.wrong(KEY, None)
    assert "is one with 2 keys" in documents.wrong(KEY, SECOND.metadata())
    documents.put(KEY, None, sure=True)
    assert documents.wrong(KEY, None) == ""
    assert documents.wrong(KEY, FIRST.metadata()) != ""
    assert documents.wrong(("globex", 1), None) == ""


def test_a_write_in_doubt_is_there_or_not_until_it_was_seen() -> None:
    for seen, other in ((FIRST, SECOND), (SECOND, FIRST)):
        documents = Documents()
        documents.put(KEY, FIRST, sure=True)
        documents.put(KEY, SECOND, sure=False)
        assert documents.wrong(KEY, None) != ""
        assert documents.wrong(KEY, seen.metadata()) == ""
        assert documents.wrong(KEY, other.metadata()) != ""


def test_merged_keys_lie_over_the_document() -> None:
    documents = Documents()
    documents.put(KEY, FIRST, sure=True)
    documents.merge(KEY, "note", "old", sure=True)
    documents.merge(KEY, "k0", "new", sure=True)
    whole = FIRST.metadata() | {"note": "old", "k0": "new"}
    assert documents.wrong(KEY, FIRST.metadata()) != ""
    assert documents.wrong(KEY, whole) == ""
    documents.merge(KEY, "note", "newer", sure=False)
    assert documents.wrong(KEY, whole | {"note": "other"}) != ""
    assert documents.wrong(KEY, whole | {"note": "newer"}) == ""
    assert documents.wrong(KEY, whole) != ""
    documents.put(KEY, SECOND, sure=True)
    assert documents.wrong(KEY, SECOND.metadata()) == ""


def test_a_key_may_be_missing_after_a_merge_in_doubt() -> None:
    documents = Documents()
    documents.put(KEY, FIRST, sure=True)
    documents.merge(KEY, "note", "new", sure=False)
    assert documents.wrong(KEY, FIRST.metadata()) == ""
    assert documents.wrong(KEY, FIRST.metadata() | {"note": "new"}) != ""


def test_documents_that_must_be_there() -> None:
    documents = Documents()
    documents.put(KEY, FIRST, sure=True)
    documents.put(("acme", 2), FIRST, sure=False)
    documents.put(("acme", 3), FIRST, sure=True)
    documents.put(("acme", 3), None, sure=False)
    assert documents.present("acme") == [1]
    assert documents.present("globex") == []


def test_a_recipe_keeps_to_its_size() -> None:
    metadata = Recipe(9, 1000, 50_000).metadata()
    assert len(metadata) == 1000
    assert sum(map(len, metadata.values())) == 50_000
    assert len(Recipe(9, 1, 1_000_000).metadata()["k0"]) == 1_000_000
    assert not set(SECOND.metadata()) & set(Recipe(3, 2, 100, own_keys=True).metadata())
