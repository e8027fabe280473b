"""pykyro.compat.qdrant answers what qdrant_client answers in its local mode, which is asked beside it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import qdrant_client
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models as theirs
from tests.integrations import qdrant_program
from tests.server.running import RunningServer

import pykyro
from pykyro.compat.qdrant import AsyncQdrantClient, QdrantClient, models
from pykyro.compat.qdrant.http.exceptions import NotSupported, UnexpectedResponse


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What the real one answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of payload indices, which its local mode has not
        return qdrant_program.run(qdrant_client.QdrantClient(":memory:"), theirs)


@pytest.mark.parametrize("place", ["memory", "server"])
@pytest.mark.parametrize("said_in", [models, theirs], ids=["our models", "their models"])
def test_the_program_answers_as_with_qdrant(
    place: str, said_in: Any, answers: dict[str, Any], server: RunningServer
) -> None:
    with (
        QdrantClient(":memory:")
        if place == "memory"
        else QdrantClient(url=f"http://localhost:{server.port}") as own
    ):
        found = qdrant_program.run(own, said_in)
        for name in ("COSINE", "DOT"):
            own.delete_collection(name)
    different = {name: (found[name], answer) for name, answer in answers.items() if found[name] != answer}
    assert not different
    assert sum(answer == "refused" for answer in answers.values()) < 25


KEYS = ("a", "b", "deep.a", "none")
words = st.sampled_from(["red", "blue", "red blue", "", "Zoë", "10", "true"])
numbers = st.integers(-3, 3) | st.floats(-3, 3).filter(lambda one: not one.is_integer())
single = words | numbers | st.booleans()
# A list with a null in it is not empty at Qdrant, and has a null here.
values = single | st.none() | st.lists(single, max_size=3)
payloads = st.fixed_dictionaries(
    {}, optional={"a": values, "b": values, "deep": st.fixed_dictionaries({}, optional={"a": values})}
)
matches = st.one_of(
    (words | st.integers(-3, 3) | st.booleans()).map(lambda one: theirs.MatchValue(value=one)),
    st.lists(words, max_size=3).map(lambda one: theirs.MatchAny(any=one)),
    st.lists(st.integers(-3, 3), max_size=3).map(lambda one: theirs.MatchAny(any=one)),
    st.lists(words, max_size=3).map(lambda one: theirs.MatchExcept(**{"except": one})),
    st.lists(st.integers(-3, 3), max_size=3).map(lambda one: theirs.MatchExcept(**{"except": one})),
)
bounds = st.none() | st.integers(-3, 3) | st.floats(-3, 3)
keys = st.sampled_from(KEYS)
conditions = st.one_of(
    st.builds(lambda key, match: theirs.FieldCondition(key=key, match=match), keys, matches),
    st.builds(
        lambda key, gt, gte, lt, lte: theirs.FieldCondition(
            key=key, range=theirs.Range(gt=gt, gte=gte, lt=lt, lte=lte)
        ),
        keys,
        bounds,
        bounds,
        bounds,
        bounds,
    ),
    keys.map(lambda key: theirs.IsEmptyCondition(is_empty=theirs.PayloadField(key=key))),
    keys.map(lambda key: theirs.IsNullCondition(is_null=theirs.PayloadField(key=key))),
    st.lists(st.integers(0, 9), max_size=3).map(lambda ids: theirs.HasIdCondition(has_id=[*ids])),
)
filters = st.recursive(
    conditions,
    lambda inner: st.builds(
        lambda must, should, must_not, some: theirs.Filter(
            must=must,
            should=should,
            must_not=must_not,
            min_should=theirs.MinShould(conditions=some, min_count=2) if some else None,
        ),
        st.none() | st.lists(inner, max_size=3),
        st.none() | st.lists(inner, max_size=3),
        st.none() | st.lists(inner, max_size=3),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
).map(lambda one: one if isinstance(one, theirs.Filter) else theirs.Filter(must=[one]))


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Any, QdrantClient]]:
    with QdrantClient(":memory:") as ours:
        yield qdrant_client.QdrantClient(":memory:"), ours


@settings(max_examples=25, deadline=None)
@given(st.lists(payloads, min_size=3, max_size=8), st.lists(filters, min_size=5, max_size=10))
def test_filters_match_what_they_match_at_qdrant(both: Any, rows: list[Any], asked: list[Any]) -> None:
    points = [
        theirs.PointStruct(id=number, vector=[1.0, number], payload=row) for number, row in enumerate(rows)
    ]
    params = theirs.VectorParams(size=2, distance=theirs.Distance.DOT)
    for client in both:
        client.delete_collection("rows")
        client.create_collection("rows", vectors_config=params)
        client.upsert("rows", points)
    for one in asked:
        matching = [[point.id for point in client.scroll("rows", scroll_filter=one)[0]] for client in both]
        assert matching[0] == matching[1], one
        found = [client.query_points("rows", query=[0.0, 1.0], query_filter=one).points for client in both]
        assert [point.id for point in found[0]] == [point.id for point in found[1]]


def test_a_directory_is_there_after_it_was_closed(tmp_path: Path) -> None:
    params = models.VectorParams(
        size=2, distance=models.Distance.COSINE, hnsw_config=models.HnswConfigDiff(m=8, ef_construct=50)
    )
    with QdrantClient(path=tmp_path) as client, QdrantClient(path=str(tmp_path)) as other:
        client.create_collection("rows", params)
        other.upsert(
            "rows", [models.PointStruct(id=5, vector=[3.0, 4.0], payload={"deep": {"n": [1, {"a": None}]}})]
        )
        assert client.count("rows").count == 1
    with QdrantClient(path=tmp_path) as client:
        assert client.retrieve("rows", [5])[0].payload == {"deep": {"n": [1, {"a": None}]}}
        assert client.get_collection("rows").config.hnsw_config.m == 8
    with pykyro.open(tmp_path) as database:
        found = database.collection("rows").search([0.6, 0.8], 1)
        assert (found[0].id, round(found[0].score, 6)) == ("5", 1.0)


def test_more_points_than_one_page() -> None:
    with QdrantClient(":memory:") as client:
        client.create_collection("rows", models.VectorParams(size=2, distance=models.Distance.EUCLID))
        client.upload_collection("rows", [[number, 1.0] for number in range(2500)], ids=range(2500))
        seen: list[Any] = []
        offset: Any = None
        while True:
            records, offset = client.scroll("rows", limit=1200, offset=offset)
            seen += [one.id for one in records]
            if offset is None:
                break
        assert seen == list(range(2500))
        far = models.Filter(must=[models.HasIdCondition(has_id=range(1000, 2500))])
        client.delete("rows", far)
        assert client.count("rows").count == 1000
        # Distances are computed from the vectors: far away too they are exact.
        assert client.query_points("rows", [123456.0, 1.0], limit=1).points[0].score == 122457.0


PARAMS = models.VectorParams(size=2, distance=models.Distance.DOT)
REFUSED: list[tuple[str, Any]] = [
    ("named vectors \\('text'\\)", lambda c: c.create_collection("x", {"text": PARAMS})),
    ("named vectors", lambda c: c.upsert("rows", [models.PointStruct(id=1, vector={"text": [1, 2]})])),
    ("Manhattan", lambda c: c.create_collection("x", PARAMS.model_copy(update={"distance": "Manhattan"}))),
    ("sparse_vectors_config", lambda c: c.create_collection("x", None, sparse_vectors_config={"a": 1})),
    ("sparse vectors", lambda c: c.query_points("rows", theirs.SparseVector(indices=[1], values=[1.0]))),
    ("several vectors", lambda c: c.query_points("rows", [[1.0, 2.0]])),
    ("prefetch", lambda c: c.query_points("rows", [1.0, 2.0], prefetch=[theirs.Prefetch(query=[1.0, 2.0])])),
    ("FusionQuery", lambda c: c.query_points("rows", theirs.FusionQuery(fusion=theirs.Fusion.RRF))),
    ("Document as a vector", lambda c: c.query_points("rows", theirs.Document(text="a", model="b"))),
    ("mmr", lambda c: c.query_points("rows", theirs.NearestQuery(nearest=[1.0, 2.0], mmr=theirs.Mmr()))),
    ("using='text'", lambda c: c.query_points("rows", [1.0, 2.0], using="text")),
    ("best_score", lambda c: c.query_points("rows", models.RecommendQuery(recommend=models.RecommendInput(
        positive=[1], strategy=models.RecommendStrategy.BEST_SCORE)))),
    ("NestedCondition", lambda c: c.count("rows", theirs.Filter(must=[theirs.NestedCondition(
        nested=theirs.Nested(key="a", filter=theirs.Filter()))]))),
    ("DatetimeRange", lambda c: c.count("rows", theirs.Filter(must=[theirs.FieldCondition(
        key="a", range=theirs.DatetimeRange(gt=datetime(2020, 1, 1)))]))),
    ("values_count", lambda c: c.count("rows", theirs.Filter(must=[theirs.FieldCondition(
        key="a", values_count=theirs.ValuesCount(gt=1))]))),
    ("MatchPhrase", lambda c: c.count("rows", theirs.Filter(must=[theirs.FieldCondition(
        key="a", match=theirs.MatchPhrase(phrase="a b"))]))),
    ("a\\[0\\]", lambda c: c.count("rows", models.Filter(must=[models.FieldCondition(
        key="a[0].b", match=models.MatchValue(value=1))]))),
    ("query_points_groups", lambda c: c.query_points_groups("rows", "a")),
    ("shard_key_selector", lambda c: c.count("rows", shard_key_selector="a")),
]  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Iterator[QdrantClient]:
    with QdrantClient(":memory:") as client:
        client.create_collection("rows", models.VectorParams(size=2, distance=models.Distance.COSINE))
        client.upsert("rows", [models.PointStruct(id=1, vector=[1.0, 2.0])])
        yield client


@pytest.mark.parametrize(("named", "call"), REFUSED, ids=[named for named, _ in REFUSED])
def test_what_is_not_here_is_refused_by_name(small: QdrantClient, named: str, call: Any) -> None:
    with pytest.raises(NotSupported, match=named):
        call(small)
    assert small.count("rows").count == 1


def test_what_is_wrong_is_named(small: QdrantClient) -> None:
    point = models.PointStruct
    for wrong, match in [
        (point(id="no uuid", vector=[1.0, 2.0]), "'no uuid' must be an integer of 0 to 18446744073709551615"),
        (point(id=-1, vector=[1.0, 2.0]), "-1 must be"),
        (point(id=2, vector=[0.0, 0.0]), "vector of zeros"),
        (point(id=2, vector=["a", "b"]), "list of numbers"),
        (point(id=2, vector=[1.0, 2.0], payload={"qdrant:order": 1}), "for itself"),
    ]:
        with pytest.raises(UnexpectedResponse, match=match) as caught:
            small.upsert("rows", [wrong])
        assert caught.value.status_code == 400
    for batch, match in [
        (models.Batch(ids=[2, 3], vectors=[[1.0, 2.0]]), "2 ids has 1 vectors"),
        (models.Batch(ids=[2], vectors=[[1.0, 2.0]], payloads=[{}, {}]), "1 ids has 2 payloads"),
    ]:
        with pytest.raises(UnexpectedResponse, match=match):
            small.upsert("rows", batch)
    with pytest.raises(UnexpectedResponse, match="1000 at most") as caught:
        small.query_points("rows", [1.0, 2.0], limit=900, offset=101)
    with pytest.raises(ValueError, match="not found"):
        small.count("nowhere")
    assert small.count("rows").count == 1


def test_a_collection_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as database:
        database.create_collection("numbers", 2).insert(1, [1.0, 2.0])
    with QdrantClient(path=tmp_path) as client:
        assert client.get_collections().collections == []
        with pytest.raises(NotSupported, match="another program"):
            client.count("numbers")


def test_calls_can_be_awaited(server: RunningServer) -> None:
    async def program() -> int:
        client = AsyncQdrantClient(host="localhost", port=server.port)
        await client.recreate_collection("awaited", models.VectorParams(size=2, distance=models.Distance.DOT))
        await client.upsert("awaited", [models.PointStruct(id=1, vector=[1.0, 2.0])])
        found = await client.query_points("awaited", [1.0, 1.0])
        await client.delete_collection("awaited")
        await client.close()
        return int(found.points[0].id)

    assert asyncio.run(program()) == 1
