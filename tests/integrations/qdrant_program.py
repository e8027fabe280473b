"""One program, for the real qdrant_client and for pykyro.compat.qdrant: what each of its steps gives.

An answer is a value as JSON has it, floats to five digits, or "refused" for any error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np

UUIDS = [f"0000000{digit}-0000-4000-8000-000000000000" for digit in "a1f"]
VECTORS = [
    [1.0, 0.2, 0.0],
    [0.1, 0.9, 0.3],
    [0.5, 0.5, 0.5],
    [-0.4, 0.1, 0.8],
    [0.9, -0.2, 0.1],
    [0.3, 2.0, -1.0],
]
IDS: list[Any] = [7, UUIDS[0], 0, 12, UUIDS[1], UUIDS[2]]
PAYLOADS: list[Any] = [
    {"city": "Berlin", "year": 2021, "tags": ["new", "red"], "author": {"name": "Ada", "born": 1815}},
    {"city": "Paris", "year": 2022, "tags": [], "text": "the quick brown fox", "open": True},
    {"city": "Rome", "year": 2022.5, "tags": None, "scores": [1, 9], "text": "a lazy dog"},
    {"city": "Berlin", "open": False, "scores": [4, 5], "deep": {"er": {"est": [1, {"two": None}]}}},
    {"city": ["Oslo", "Berlin"], "year": 1999, "tags": ["red"], "text": "brown dog"},
    None,
]


def run(client: Any, models: Any) -> dict[str, Any]:
    """The answer of each step, by its name."""
    answers: dict[str, Any] = {}

    def step(name: str, call: Callable[[], Any]) -> None:
        assert name not in answers, name
        try:
            answers[name] = _shown(call())
        except Exception:
            answers[name] = "refused"

    for distance in ("COSINE", "DOT", "EUCLID"):
        _fill(step, client, models, distance)
        _search(step, client, models, distance)
    _filters(step, client, models)
    _reads(step, client, models)
    _payloads(step, client, models)
    _collections(step, client, models)
    return answers


def _shown(value: Any) -> Any:
    def plain(one: Any) -> Any:
        if hasattr(one, "model_dump"):
            return plain(one.model_dump())
        if isinstance(one, dict):
            return {key: plain(inner) for key, inner in one.items() if key not in ("version", "operation_id")}
        if isinstance(one, (list, tuple)):
            return [plain(inner) for inner in one]
        return round(one, 5) + 0.0 if isinstance(one, float) else one

    return json.loads(json.dumps(plain(value)))


def _fill(step: Any, client: Any, models: Any, distance: str) -> None:
    params = models.VectorParams(size=3, distance=getattr(models.Distance, distance))
    step(f"{distance} create", lambda: client.create_collection(distance, vectors_config=params))
    points = [
        models.PointStruct(id=own_id, vector=vector, payload=payload)
        for own_id, vector, payload in zip(IDS, VECTORS, PAYLOADS, strict=True)
    ]
    step(f"{distance} upsert", lambda: client.upsert(distance, points=points[:3], wait=True))
    batch = models.Batch(ids=IDS[3:], vectors=VECTORS[3:], payloads=[one or {} for one in PAYLOADS[3:]])
    step(f"{distance} batch", lambda: client.upsert(collection_name=distance, points=batch))
    step(
        f"{distance} upsert of a wrong size",
        lambda: client.upsert(distance, [models.PointStruct(id=1, vector=[1.0])]),
    )
    step(f"{distance} vectors", lambda: client.retrieve(distance, ids=IDS, with_vectors=True))


def _search(step: Any, client: Any, models: Any, distance: str) -> None:
    asked = [0.8, 0.3, 0.1]

    def query(name: str, query: Any, **said: Any) -> None:
        step(f"{distance} {name}", lambda: client.query_points(distance, query=query, **said))

    query("vector", asked)
    query("array", np.array(asked, dtype=np.float32), limit=2)
    query("limit and offset", asked, limit=2, offset=1)
    query("no payload", asked, with_payload=False)
    query("some payload", asked, with_payload=["city", "author.name"])
    query("included", asked, with_payload=models.PayloadSelectorInclude(include=["year"]))
    query("excluded", asked, with_payload=models.PayloadSelectorExclude(exclude=["year", "author.born"]))
    query("with vectors", asked, with_vectors=True, limit=3)
    query("threshold", asked, score_threshold={"COSINE": 0.5, "DOT": 0.4, "EUCLID": 1.0}[distance])
    query("id", 7)
    query("uuid", UUIDS[0].upper(), limit=3)
    query("unknown id", 99)
    query("nearest", models.NearestQuery(nearest=asked), limit=1)
    query("exact", asked, search_params=models.SearchParams(hnsw_ef=64, exact=True))
    like = models.RecommendInput(positive=[7, [0.1, 0.2, 0.3]], negative=[12])
    query("recommend", models.RecommendQuery(recommend=like))
    query("recommend nothing", models.RecommendQuery(recommend=models.RecommendInput(positive=[])))
    query("wrong size", [1.0, 2.0])
    query("by id", None)
    query("by value", models.OrderByQuery(order_by="year"), limit=2)
    requests = [
        models.QueryRequest(query=asked, limit=2, with_payload=True),
        models.QueryRequest(query=7, limit=1),
        models.QueryRequest(
            query=asked, filter=models.Filter(must=[_field(models, "year", gte=2000)]), limit=5
        ),
    ]
    step(f"{distance} batch query", lambda: client.query_batch_points(distance, requests=requests))


def _field(models: Any, key: str, **bounds: Any) -> Any:
    return models.FieldCondition(key=key, range=models.Range(**bounds))


def _match(models: Any, key: str, value: Any) -> Any:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def conditions(models: Any) -> dict[str, Any]:
    """Conditions by name."""
    field, key = models.FieldCondition, models.PayloadField
    return {
        "text": _match(models, "city", "Berlin"),
        "integer": _match(models, "year", 2021),
        "bool": _match(models, "open", True),
        "path": _match(models, "author.name", "Ada"),
        "any": field(key="city", match=models.MatchAny(any=["Rome", "Oslo"])),
        "any integer": field(key="year", match=models.MatchAny(any=[2021, 1999])),
        "any of none": field(key="city", match=models.MatchAny(any=[])),
        "except": field(key="city", match=models.MatchExcept(**{"except": ["Berlin", "Paris"]})),
        "except integer": field(key="scores", match=models.MatchExcept(**{"except": [4, 5]})),
        "except of others": field(key="open", match=models.MatchExcept(**{"except": ["x"]})),
        "words": field(key="text", match=models.MatchText(text="dog lazy")),
        "upper words": field(key="text", match=models.MatchText(text="Brown")),
        "no words": field(key="text", match=models.MatchText(text="")),
        "any word": field(key="text", match=models.MatchTextAny(text_any="fox lazy")),
        "range": _field(models, "year", gt=1999, lte=2022),
        "open range": _field(models, "year", lt=2022.5),
        "range of a list": _field(models, "scores", gt=5, lt=9),
        "range of texts": _field(models, "city", gt=0),
        "range of bools": _field(models, "open", gte=0),
        "both bounds": _field(models, "year", gt=2021, gte=2021),
        "empty": models.IsEmptyCondition(is_empty=key(key="tags")),
        "null": models.IsNullCondition(is_null=key(key="tags")),
        "field empty": field(key="tags", is_empty=False),
        "field null": field(key="tags", is_null=False),
        "ids": models.HasIdCondition(has_id=[7, UUIDS[1], 55]),
        "elements": field(key="tags[]", match=models.MatchValue(value="red")),
        "nothing there": _match(models, "nothing", 1),
    }


def _filters(step: Any, client: Any, models: Any) -> None:
    known = conditions(models)
    a, b, c = known["text"], known["range"], known["empty"]
    whole = {name: models.Filter(must=[one]) for name, one in known.items()}
    whole |= {f"not {name}": models.Filter(must_not=[one]) for name, one in known.items()}
    whole |= {
        "nothing": models.Filter(),
        "must": models.Filter(must=[a, b]),
        "alone": models.Filter(must=a),
        "should": models.Filter(should=[a, b]),
        "no should": models.Filter(should=[]),
        "all three": models.Filter(must=[a], should=[b, c], must_not=[known["bool"]]),
        "nested": models.Filter(must=[models.Filter(should=[a, models.Filter(must=[b, c])])]),
        "min should": models.Filter(min_should=models.MinShould(conditions=[a, b, c], min_count=2)),
        "min should of more": models.Filter(min_should=models.MinShould(conditions=[a], min_count=2)),
    }
    for name, one in whole.items():
        step(f"filter {name}", lambda one=one: client.count("COSINE", count_filter=one, exact=True))
        step(
            f"search {name}",
            lambda one=one: [
                point.id
                for point in client.query_points("DOT", query=[1.0, 0.1, 0.1], query_filter=one).points
            ],
        )


def _reads(step: Any, client: Any, models: Any) -> None:
    step("scroll", lambda: client.scroll("COSINE"))
    step("scroll two", lambda: client.scroll("COSINE", limit=2))
    step("scroll on", lambda: client.scroll("COSINE", limit=2, offset=8))
    step("scroll from uuid", lambda: client.scroll("COSINE", limit=2, offset=UUIDS[1]))
    berlin = models.Filter(must=[_match(models, "city", "Berlin")])
    step("scroll filter", lambda: client.scroll("COSINE", scroll_filter=berlin, limit=2, with_payload=False))
    step("scroll vectors", lambda: client.scroll("DOT", limit=1, with_vectors=True, with_payload=["year"]))
    step("scroll by value", lambda: client.scroll("COSINE", order_by="year"))
    down = models.OrderBy(key="year", direction=models.Direction.DESC)
    step("scroll down", lambda: client.scroll("COSINE", order_by=down, limit=2))
    later = models.OrderBy(key="year", start_from=2021.5)
    step("scroll later", lambda: client.scroll("COSINE", order_by=later))
    step("scroll by value with offset", lambda: client.scroll("COSINE", order_by="year", offset=7))
    step("retrieve", lambda: client.retrieve("COSINE", ids=[UUID(UUIDS[0]), 99, 7]))
    step("retrieve none", lambda: client.retrieve("COSINE", ids=[]))
    step("retrieve bare", lambda: client.retrieve("COSINE", ids=[7], with_payload=False))
    step("count", lambda: client.count("COSINE"))
    step("facet", lambda: client.facet("COSINE", key="city"))
    step("facet filter", lambda: client.facet("COSINE", key="tags", facet_filter=berlin, limit=1))
    step("no collection", lambda: client.count("nowhere"))


def _payloads(step: Any, client: Any, models: Any) -> None:
    name = "DOT"
    berlin = models.Filter(must=[_match(models, "city", "Berlin")])

    def then(what: str, call: Callable[[], Any]) -> None:
        step(what, call)
        step(f"after {what}", lambda: client.scroll(name, with_vectors=True))

    then("set", lambda: client.set_payload(name, payload={"new": [1, {"a": None}], "year": 5}, points=[7, 0]))
    then("set by filter", lambda: client.set_payload(name, payload={"here": True}, points=berlin))
    then("set below", lambda: client.set_payload(name, payload={"died": 1852}, points=[7], key="author"))
    then("set null", lambda: client.set_payload(name, payload={"here": None}, points=[7]))
    then("set null below", lambda: client.set_payload(name, payload={"died": None}, points=[7], key="author"))
    then("set below nothing", lambda: client.set_payload(name, payload={"a": 1}, points=[12], key="fresh"))
    then("overwrite", lambda: client.overwrite_payload(name, payload={"only": "this"}, points=[12]))
    then(
        "delete keys", lambda: client.delete_payload(name, keys=["city", "author.born"], points=[7, UUIDS[0]])
    )
    selector = models.FilterSelector(filter=models.Filter(must=[_match(models, "city", "Rome")]))
    then("clear", lambda: client.clear_payload(name, points_selector=selector))
    then("set missing", lambda: client.set_payload(name, payload={"late": 1}, points=[7, 4711]))
    vectors = [models.PointVectors(id=7, vector=[9.0, 8.0, 7.0])]
    then("vectors", lambda: client.update_vectors(name, points=vectors))
    then(
        "replace", lambda: client.upsert(name, [models.PointStruct(id=7, vector=[1, 1, 1], payload={"b": 1})])
    )
    then("delete ids", lambda: client.delete(name, points_selector=[7, 4711]))
    then("delete list", lambda: client.delete(name, models.PointIdsList(points=[UUIDS[0]])))
    then("delete filter", lambda: client.delete(name, models.Filter(must=[_match(models, "city", "Berlin")])))
    then("delete nothing", lambda: client.delete(name, points_selector=[]))
    then("delete all", lambda: client.delete(name, models.FilterSelector(filter=models.Filter())))


def _collections(step: Any, client: Any, models: Any) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    step("exists", lambda: client.collection_exists("COSINE"))
    step("exists not", lambda: client.collection_exists("nowhere"))
    step("create again", lambda: client.create_collection("COSINE", vectors_config=params))
    own = {"COSINE", "DOT", "EUCLID"}  # a server may have others
    step("list", lambda: sorted(own & {one.name for one in client.get_collections().collections}))
    step("points", lambda: client.get_collection("COSINE").points_count)
    step("params", lambda: _params(client.get_collection("COSINE")))
    step("status", lambda: client.get_collection("COSINE").status.value)
    step("info of none", lambda: client.get_collection("nowhere"))
    step("delete", lambda: client.delete_collection("EUCLID"))
    step("delete again", lambda: client.delete_collection("EUCLID"))
    step("recreate", lambda: client.delete_collection("DOT") and client.create_collection("DOT", params))
    step(
        "upload", lambda: client.upload_collection("DOT", np.eye(2), payload=[{"n": 1}, {"n": 2}], ids=[1, 2])
    )
    step("uploaded", lambda: client.scroll("DOT", with_vectors=True))
    points = (models.PointStruct(id=number, vector=[number, 1.0]) for number in range(300))
    step("upload points", lambda: client.upload_points("DOT", points=points))
    step("all of them", lambda: client.count("DOT"))
    step("without ids", lambda: client.upload_collection("DOT", [[1.0, 2.0], [2.0, 1.0]]))
    step("two more", lambda: client.count("DOT").count)
    create = models.CreateAlias(collection_name="DOT", alias_name="other")
    operations = [models.CreateAliasOperation(create_alias=create)]
    step("alias", lambda: client.update_collection_aliases(operations))
    step("by alias", lambda: client.count("other").count)
    step("aliases", client.get_aliases)
    step("its aliases", lambda: client.get_collection_aliases("DOT"))
    gone = [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="other"))]
    step("no alias", lambda: client.update_collection_aliases(gone))
    step("by no alias", lambda: client.count("other"))


def _params(info: Any) -> list[Any]:
    vectors = info.config.params.vectors
    return [vectors.size, vectors.distance.value]
