"""What every store does alike when documents are listed, counted, sampled and cleared."""

from __future__ import annotations

import pytest
from tests.client.stores import Awaited, Store, fill, random_vectors

from pykyro import DocumentPage, Facet, InvalidArgument


def test_documents_come_by_id_page_by_page(store: Store) -> None:
    vectors = fill(store)
    page = store.scroll(limit=20, include_vectors=True)
    assert isinstance(page, DocumentPage)
    assert [document.id for document in page] == list(range(1, 21))
    assert page[0].metadata == {"n": 1, "parity": "odd"}
    vector = page[3].vector
    assert vector is not None
    assert vector.tobytes() == vectors[3].tobytes()
    second = store.scroll(limit=20, page_token=page.next_page_token)
    third = store.scroll(limit=20, page_token=second.next_page_token)
    assert [document.id for document in (*second, *third)] == list(range(21, 51))
    assert third.next_page_token == ""
    assert second[0].vector is None
    falling = store.scroll(limit=3, descending=True, include_metadata=False)
    assert [(document.id, document.metadata) for document in falling] == [(50, {}), (49, {}), (48, {})]


def test_a_page_token_stays_good_while_documents_are_written(store: Store) -> None:
    fill(store)
    page = store.scroll(limit=25)
    store.delete(25)
    store.delete(26)
    store.insert(1000, random_vectors(1)[0])
    assert page.position < store.scroll(limit=1).position
    rest = store.scroll(limit=100, page_token=page.next_page_token)
    assert [document.id for document in rest] == [*range(27, 51), 1000]


def test_every_document_is_gone_through(store: Store) -> None:
    fill(store)
    if isinstance(store, Awaited):
        documents = store.collected(store.documents(filter={"parity": "odd"}, descending=True))
    else:
        documents = list(store.documents(filter={"parity": "odd"}, descending=True))
    assert [document.id for document in documents] == list(range(49, 0, -2))


def test_counts_are_exact(store: Store) -> None:
    fill(store)
    assert store.count() == 50
    assert store.count(filter={"parity": "odd"}) == 25
    assert store.count(filter={"n": {"$gt": 45}}) == 5
    assert store.count(namespace="nobody's") == 0
    store.delete(1)
    assert (store.count(), store.count(filter={"parity": "odd"})) == (49, 24)


def test_a_sample_is_of_what_matches(store: Store) -> None:
    fill(store)
    sample = store.sample(10, filter={"parity": "even"}, include_vectors=True)
    ids = [document.id for document in sample]
    assert len(set(ids)) == 10
    assert all(document.id % 2 == 0 and document.vector is not None for document in sample)
    assert len(store.sample(100)) == 50
    assert store.sample(5, namespace="nobody's") == []


def test_clearing_removes_a_namespace_or_everything(store: Store) -> None:
    fill(store)
    store.insert_many([(at, vector) for at, vector in enumerate(random_vectors(7), 100)], namespace="shelf")
    assert store.clear("shelf") == 7
    assert store.count() == 50
    assert store.clear() == 50
    assert store.count() == 0
    assert store.clear() == 0
    assert list(store.scroll()) == []


def test_documents_come_by_value_page_by_page(store: Store) -> None:
    vectors = fill(store, 6)
    store.insert(7, vectors[0], {"n": 2.5})
    store.insert(8, vectors[0], {"n": [9, "x"], "at": {"place": "home"}})
    store.insert(9, vectors[0], {"n": None})
    page = store.scroll(order_by="n", limit=4)
    assert [document.id for document in page] == [1, 2, 7, 3]
    store.insert(10, vectors[0], {"n": 2})
    store.insert(11, vectors[0], {"n": 3.0})
    store.delete(3)
    rest = store.scroll(order_by="n", limit=100, page_token=page.next_page_token)
    assert [document.id for document in rest] == [11, 4, 5, 6, 8, 9]
    assert rest.next_page_token == ""
    every = store.documents(order_by="n", descending=True, filter={"n": {"$exists": True}})
    ids = [found.id for found in (store.collected(every) if isinstance(store, Awaited) else every)]
    assert ids == [8, 6, 5, 4, 11, 7, 10, 2, 1, 9]
    assert [document.id for document in store.scroll(order_by="at.place", limit=2)] == [8, 1]
    other = store.scroll(order_by="parity", limit=1).next_page_token
    for arguments in ({"order_by": "n"}, {}, {"order_by": "parity", "descending": True}):
        with pytest.raises(InvalidArgument, match="ask with the same") as refused:
            store.scroll(page_token=other, **arguments)
        assert refused.value.field == "page_token"


def test_facets_count_the_values_of_a_key(store: Store) -> None:
    fill(store)
    assert store.facets("parity") == [Facet("even", 25), Facet("odd", 25)]
    for at, value in enumerate([1, 1.0, "1", True, None, [1, "a", "a"], 2.5, {"n": 1}], 1):
        store.update_metadata(at, {"v": value}, merge=True)
    facets = store.facets("v")
    assert facets[0] == Facet(1, 3)
    assert [(repr(value), count) for value, count in facets] == [
        ("1", 3),
        ("True", 1),
        ("2.5", 1),
        ("None", 1),
        ("'1'", 1),
        ("'a'", 1),
    ]
    assert store.facets("v", filter={"n": {"$lte": 2}}, limit=5) == [Facet(1, 2)]
    assert store.facets("v.n") == [Facet(1, 1)]
    assert store.facets("v", namespace="nobody's") == []
    assert len(store.facets("n", limit=3)) == 3
    with pytest.raises(InvalidArgument) as refused:
        store.facets("v", limit=10_001)
    assert refused.value.field == "limit"
    with pytest.raises(InvalidArgument) as refused:
        store.facets("")
    assert refused.value.field == "key"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": True}, "limit"),
        ({"page_token": "up:x"}, "page_token"),
        ({"page_token": "down:3"}, "page_token"),
        ({"page_token": 7}, "page_token"),
        ({"page_token": f"up:{2**64}"}, "page_token"),
        ({"order_by": 7}, "order_by"),
        ({"order_by": "n", "page_token": "up:3"}, "page_token"),
        ({"order_by": "n", "page_token": "up:3:00000000:t"}, "page_token"),
        ({"order_by": "n", "page_token": "up:3:0:"}, "page_token"),
        ({"order_by": "n", "page_token": "up:3:00000000:lx"}, "page_token"),
        ({"order_by": "k" * 1025}, "order_by"),
        ({"filter": {"n": {"$gtt": 1}}}, "filter.n.$gtt"),
        ({"namespace": 3}, "namespace"),
    ],
)
def test_a_wrong_argument_is_named(store: Store, arguments: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        store.scroll(**arguments)  # type: ignore[arg-type]
    assert refused.value.field == field
