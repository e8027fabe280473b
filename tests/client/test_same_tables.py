"""What every store does alike with tables, and the methods that stand for others."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from tests.client.stores import DIMENSION, Awaited, Store, fill, random_vectors

from pykyro import InvalidArgument


def test_a_table_goes_in_and_comes_out(store: Store) -> None:
    vectors = random_vectors(3)
    frame = pd.DataFrame(
        {"id": [1, 2, 3], "vector": list(vectors), "lang": ["de", "en", None], "n": [1, 2, 3]}
    )
    report = store.insert_many(frame)
    assert (report.inserted, report.refused) == (3, [])
    page = store.scroll(include_vectors=True)
    assert page.to_pandas()[["lang", "n"]].to_dict("list") == {"lang": ["de", "en", None], "n": [1, 2, 3]}
    answer = store.search(vectors[1], k=2, include_vectors=True)
    table = answer.to_arrow()
    assert table.column_names[:3] == ["id", "score", "vector"]
    assert table.column("id").to_pylist()[0] == 2
    back = store.upsert(page.to_arrow(), namespace="copy")
    assert back.inserted == 3
    assert store.count(namespace="copy") == 3
    refused = store.insert_many(pa.table({"id": [8, 9], "vector": [[1.0] * DIMENSION, [1.0]]}))
    assert [(one.id, "expected 8 found 1" in one.reason) for one in refused.refused] == [(9, True)]
    with pytest.raises(InvalidArgument, match="vector is missing") as wrong:
        store.insert_many(pa.table({"id": [1]}))
    assert wrong.value.field == "documents"


def test_a_page_goes_in_as_it_came(store: Store) -> None:
    fill(store, 3)
    page = store.scroll(include_vectors=True)
    assert store.insert_many(page, namespace="copy").inserted == 3
    assert store.count(namespace="copy") == 3
    with pytest.raises(InvalidArgument, match="looked up without its vector"):
        store.insert_many(store.scroll())


def test_shorthands(store: Store) -> None:
    vectors = fill(store, 5)
    report = store.upsert([{"id": 5, "vector": vectors[0], "n": 50}, (6, vectors[1])])
    assert report.inserted == 2
    found = store.get(5)
    assert found is not None
    assert found.metadata == {"n": 50}
    assert store.update(5, {"more": True})
    assert not store.update(99, {"more": True})
    found = store.get(5)
    assert found is not None
    assert found.metadata == {"n": 50, "more": True}
    if not isinstance(store, Awaited):
        assert len(store) == 6
        store.clear()
        assert len(store) == 0
        assert store
        assert repr(store).startswith(f"<pykyro.{type(store).__name__} '")
        store.close()
        assert repr(store).endswith("closed>")
