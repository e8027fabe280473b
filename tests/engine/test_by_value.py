"""Listings in the order of values and facets, against the rule that looks at one document's metadata."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.opening import open_small, put, settle, vectors
from tests.model.values import KEYS, filters, kept, metadata

from pykyro.engine.engine import Engine
from pykyro.engine.facets import most_frequent
from pykyro.engine.tiers import by_value
from pykyro.index.metadata.value_runs import run_of_pairs
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Exact, Filter, matches, strict
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, UpdateMetadata
from pykyro.model.tokens import token_of
from pykyro.model.types import EVERYTHING, Document
from pykyro.model.value_order import facet_tokens, order_token

ROWS = vectors(40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "put", "update"]), st.integers(1, 39), metadata),
        st.tuples(st.just("delete"), st.integers(1, 39), st.just({})),
        st.tuples(st.sampled_from(["seal", "merge"]), st.just(0), st.just({})),
    ),
    max_size=50,
)


def listed(engine: Engine, key: str, condition: Filter | None, limit: int, *, descending: bool) -> list[int]:
    found, after, value = list[int](), None, None
    while True:
        request = PageRequest(
            limit, condition, after=after, after_value=value, order_by=key, descending=descending
        )
        page = engine.listing.page(request)
        assert len(page.documents) <= limit
        found += [document.doc_id for document in page.documents]
        if page.last is None:
            return found
        after, value = page.last, page.last_value


def in_order(model: dict[int, dict[str, str]], key: str, *, descending: bool) -> list[int]:
    """The ids as the rule for one document says."""
    token = {doc_id: order_token(entries, key, descending=descending) for doc_id, entries in model.items()}
    with_value = [(text, doc_id) for doc_id, text in token.items() if text is not None]
    without = [doc_id for doc_id, text in token.items() if text is None]
    return [doc_id for _, doc_id in sorted(with_value, reverse=descending)] + sorted(
        without, reverse=descending
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=STEPS,
    limit=st.integers(1, 45),
    descending=st.booleans(),
    condition=st.none() | filters,
    together=st.sampled_from([2, 1 << 15]),
)
def test_pages_and_facets_are_those_of_the_rule(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, dict[str, str]]],
    limit: int,
    descending: bool,
    condition: Filter | None,
    together: int,
) -> None:
    """However many rows are read at once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(by_value, "_ENTRIES_TOGETHER", together)
        check_steps(
            tmp_path_factory.mktemp("values") / "data", steps, limit, condition, descending=descending
        )


def check_steps(
    directory: Path,
    steps: list[tuple[str, int, dict[str, str]]],
    limit: int,
    condition: Filter | None,
    *,
    descending: bool,
) -> None:
    """Pages and facets after these steps are those of the rule."""
    engine = open_small(directory, hot_rows_max=16, typed_values=True)
    model: dict[int, dict[str, str]] = {}
    for do, doc_id, entries in steps:
        if do == "put":
            engine.write(Put(Document(doc_id, ROWS[doc_id], entries)))
            model[doc_id] = entries
        elif do == "update":
            engine.write(UpdateMetadata(doc_id, entries, merge=True))
            if doc_id in model:
                model[doc_id] = model[doc_id] | entries
        elif do == "delete":
            engine.write(Delete(doc_id))
            model.pop(doc_id, None)
        elif do == "seal":
            engine.flush()
        else:
            settle(engine)
    matching = {
        doc_id: one for doc_id, one in model.items() if condition is None or matches(strict(condition), one)
    }
    for key in (*KEYS, "of no document"):
        wanted = in_order(matching, key, descending=descending)
        assert listed(engine, key, condition, limit, descending=descending) == wanted
        counts = Counter(token for one in matching.values() for token in facet_tokens(one, key))
        facets, _ = engine.listing.facets(key, condition, EVERYTHING, limit)
        expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
        assert [(token_of(value), count) for value, count in facets] == expected
    engine.close()


def test_a_large_segment_with_few_values_and_one_with_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that more rows have than are read at once, one for each row, and lists, with deletions since."""
    monkeypatch.setattr(by_value, "_ENTRIES_TOGETHER", 40)
    engine = open_small(tmp_path / "data")
    count = 900
    rows = vectors(count)
    model: dict[int, dict[str, str]] = {}
    puts = []
    for at in range(count):
        doc_id = (at * 7919 + 1) % count + 1
        entries: dict[str, Any] = {"few": at % 12 < 1, "many": str(at * 31 % count), "n": at / 8}
        if at % 3 == 0:
            entries["list"] = [at % 5, at % 7, str(at % 3)]
        model[doc_id] = kept(entries)
        puts.append(Put(Document(doc_id, rows[at], model[doc_id])))
    engine.commit(puts[:-200])
    engine.flush()
    engine.commit(puts[-200:])
    for doc_id in range(1, 100):
        engine.write(Delete(doc_id))
        del model[doc_id]
    for key in ("few", "many", "n", "list"):
        for descending in (False, True):
            wanted = in_order(model, key, descending=descending)
            assert listed(engine, key, None, 250, descending=descending) == wanted
        counts = Counter(token for one in model.values() for token in facet_tokens(one, key))
        expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
        facets = engine.listing.facets(key, None, EVERYTHING, 20)[0]
        assert [(token_of(value), number) for value, number in facets] == expected
    engine.close()


def test_merged_documents_stand_where_their_values_stand(tmp_path: Path) -> None:
    """Rows that share the metadata of a large document, in memory and in a segment."""
    engine = open_small(tmp_path / "data")
    model = {}
    for doc_id in range(1, 31):
        model[doc_id] = {"text": "x" * 5000, "year": str(2000 + doc_id % 7), "name": f"n{doc_id:02}"}
        engine.write(put(doc_id, ROWS[doc_id], **model[doc_id]))
        if doc_id == 20:
            engine.flush()
    for doc_id in range(1, 31, 2):
        engine.write(UpdateMetadata(doc_id, {"seen": "yes"}, merge=True))
        model[doc_id] = model[doc_id] | {"seen": "yes"}
    engine.write(UpdateMetadata(3, {"year": "1999"}, merge=True))
    model[3]["year"] = "1999"
    for key in ("year", "name", "seen"):
        for descending in (False, True):
            wanted = in_order(model, key, descending=descending)
            assert listed(engine, key, None, 4, descending=descending) == wanted
        counts = Counter(one[key] for one in model.values() if key in one)
        facets = engine.listing.facets(key, None, EVERYTHING, 50)[0]
        assert facets == sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    engine.close()


def test_a_document_whose_value_stays_is_in_one_page_whatever_is_written(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", hot_rows_max=64)
    steady = list(range(1, 301))
    engine.commit([Put(Document(at, ROWS[0], kept({"n": at % 10}))) for at in steady])
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            engine.commit([Put(Document(1000 + number % 50, ROWS[1], kept({"n": number % 13})))])
            engine.write(Delete(1000 + (number * 7) % 50))
            if number % 100 == 0:
                engine.flush()
                settle(engine)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for descending in (False, True) * 5:
            found = listed(engine, "n", None, 17, descending=descending)
            wanted = sorted(steady, key=lambda at: (at % 10, at), reverse=descending)
            assert [doc_id for doc_id in found if doc_id < 1000] == wanted
    finally:
        stop.set()
        writer.join()
    engine.close()


@pytest.mark.parametrize("key", ["", "size"])
def test_a_document_too_large_for_a_page_is_in_the_next(tmp_path: Path, key: str) -> None:
    """Large documents in one tier and small ones, which come later in order, in another."""
    engine = open_small(tmp_path / "data")
    for doc_id in range(1, 18):
        engine.write(put(doc_id, ROWS[doc_id], text="x" * 1_000_000, size="a"))
    engine.flush()
    for doc_id in range(20, 40):
        engine.write(put(doc_id, ROWS[0], size="b"))
    assert listed(engine, key, None, 100, descending=False) == [*range(1, 18), *range(20, 40)]
    engine.close()


def test_long_values_end_a_page_early(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    for doc_id in range(1, 21):
        engine.write(put(doc_id, ROWS[doc_id], text=f"{'x' * 1_000_000}{doc_id:02}"))
        if doc_id == 12:
            engine.flush()
    request = PageRequest(20, order_by="text", include_metadata=False)
    assert 0 < len(engine.listing.page(request).documents) < 20
    assert listed(engine, "text", None, 20, descending=False) == list(range(1, 21))
    assert listed(engine, "text", None, 20, descending=True) == list(range(20, 0, -1))
    with pytest.raises(InvalidArgument) as refused:
        engine.listing.facets("text", None, EVERYTHING, 20)
    assert refused.value.field == "limit"
    assert len(engine.listing.facets("text", None, EVERYTHING, 3)[0]) == 3
    engine.close()


def test_facets_of_too_many_values_are_refused_unless_a_filter_leaves_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small(tmp_path / "data")
    monkeypatch.setattr("pykyro.engine.request_costs.FILTER_COST_US_MAX", 20_000)
    engine.commit(
        [
            put(at, ROWS[0], name=f"n{at}", half="yes" if at % 2 else "no", one=f"{at % 4000}")
            for at in range(1, 8001)
        ]
    )
    with pytest.raises(
        InvalidArgument, match=r"facets of 'name' would take about 0\.0 s .* filter"
    ) as refused:
        engine.listing.facets("name", None, EVERYTHING, 10)
    assert refused.value.field == "key"
    found, _ = engine.listing.facets("name", Exact("half", "yes"), EVERYTHING, 2)
    assert found == [("n1", 1), ("n1001", 1)]
    engine.close()


@given(
    parts=st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5), max_size=6), max_size=4),
    limit=st.integers(1, 6),
)
def test_the_most_frequent_of_several_tiers_need_not_be_frequent_in_one(
    parts: list[dict[str, int]], limit: int
) -> None:
    counted = []
    for part in parts:
        run = run_of_pairs([(row, text) for row, text in enumerate(sorted(part))], "t")
        counted.append((run, np.array([part[text] for text in sorted(part)], np.int64)))
    together = sum((Counter(part) for part in parts), Counter[str]())
    expected = sorted(together.items(), key=lambda item: (-item[1], item[0]))[:limit]
    assert [(token[1:], count) for token, count in most_frequent(counted, limit)] == expected
