"""One program, for the real chromadb and for pykyro.compat.chroma: what each of its steps gives.

    python tests/integrations/chroma_program.py > tests/integrations/chroma_answers.json

writes down what the real one answers (in an environment with pykyro[compat]). An answer is a value as JSON has it, or
the name of the error's class.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

WHERE: list[Any] = [
    {"year": 1},
    {"year": 1.0},
    {"year": 2},
    {"year": {"$gt": 1}},
    {"year": {"$gte": 1}},
    {"year": {"$lt": 2}},
    {"year": {"$lte": 0.5}},
    {"year": {"$ne": 1}},
    {"year": {"$in": [1, 2]}},
    {"year": {"$nin": [1]}},
    {"read": True},
    {"read": 1},
    {"tags": {"$contains": "a"}},
    {"tags": {"$not_contains": "a"}},
    {"a.b": 7},
    {"$and": [{"year": 1}, {"text": "x"}]},
    {"$or": [{"year": 1}, {"read": True}]},
    {"$or": [{"$and": [{"year": 2}, {"text": "x"}]}, {"read": True}]},
    {"$and": [{"year": 1}]},
    {"year": 1, "text": "x"},
    {},
    {"year": None},
    {"year": {"$foo": 1}},
    {"year": {"$in": []}},
    {"year": {"$in": [1, "a"]}},
    {"year": {"$gt": 1, "$lt": 3}},
    {"text": {"$gt": "a"}},
    {"$not": {"year": 1}},
]
WHERE_DOCUMENT: list[Any] = [
    {"$contains": "hello"},
    {"$contains": "HELLO"},
    {"$contains": "World"},
    {"$not_contains": "hello"},
    {"$and": [{"$contains": "e"}, {"$not_contains": "hello"}]},
    {"$or": [{"$contains": "hello"}, {"$contains": "By"}]},
    {"$contains": ""},
    {"$contains": 1},
    {"$like": "x"},
    {},
]


class Lengths:
    """An embedding function: how long a text is."""

    def __call__(self, input: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in input]


class Answers:
    """What was answered, by the name of the step."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def note(self, name: str, step: Callable[[], Any]) -> None:
        try:
            self.found[name] = as_json(step())
        except Exception as error:
            self.found[name] = type(error).__name__


def as_json(value: Any) -> Any:
    """The value without the types of NumPy; floats to five digits, which is what float32 has."""
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    return value


def run(client: Any, embedder: Any) -> dict[str, Any]:
    """All steps, on a client without collections."""
    answers = Answers()
    collections(client, answers)
    rows = client.create_collection(
        "rows", metadata={"hnsw:space": "l2", "owner": "me"}, embedding_function=None
    )
    empty(rows, answers)
    writes(rows, answers)
    reads(rows, answers)
    refusals(rows, answers)
    changes(rows, answers)
    distances(client, answers)
    texts(client, embedder, answers)
    return answers.found


def collections(client: Any, answers: Answers) -> None:
    note = answers.note
    client.create_collection("one", metadata={"owner": "me"}, embedding_function=None)
    note("create taken", lambda: client.create_collection("one", embedding_function=None))
    note(
        "get or create there",
        lambda: client.get_or_create_collection("one", metadata={"x": 1}, embedding_function=None).metadata,
    )
    note(
        "get or create new", lambda: client.get_or_create_collection("two", embedding_function=None).metadata
    )
    for name in ("nope", "a", "a b c"):
        note(f"get {name}", partial(client.get_collection, name, embedding_function=None))
        note(f"delete {name}", partial(client.delete_collection, name))
    note("create a", lambda: client.create_collection("a", embedding_function=None))
    note("create a b c", lambda: client.create_collection("a b c", embedding_function=None))
    note("empty metadata", lambda: client.create_collection("three", metadata={}, embedding_function=None))
    note("bad space", lambda: client.create_collection("three", metadata={"hnsw:space": "no"}))
    note("names", lambda: sorted(one.name for one in client.list_collections()))
    note("count", client.count_collections)
    one = client.get_collection("one", embedding_function=None)
    note("rename", lambda: one.modify(name="first", metadata={"owner": "you"}))
    note("renamed", lambda: [one.name, client.get_collection("first", embedding_function=None).metadata])
    note("rename to taken", lambda: one.modify(name="two"))
    note("change space", lambda: one.modify(metadata={"hnsw:space": "cosine"}))
    note("delete", lambda: client.delete_collection("first"))
    note("use deleted", lambda: one.count())
    note("names left", lambda: [one.name for one in client.list_collections()])
    note("reset", client.reset)


def empty(rows: Any, answers: Answers) -> None:
    note = answers.note
    note("empty query", lambda: rows.query(query_embeddings=[1.0, 2.0]))
    note("empty get", lambda: rows.get())
    note("empty peek", lambda: rows.peek())
    note("empty count", lambda: rows.count())


def writes(rows: Any, answers: Answers) -> None:
    note = answers.note
    rows.add(
        ids=["b", "a", "c"],
        embeddings=[[1, 0], [0, 1.5], [1, 1.25]],
        metadatas=[{"year": 1, "text": "x"}, {"year": 2.0, "read": True}, None],
        documents=["hello world", "Bye", None],
    )
    note("add one", lambda: rows.add(ids="d", embeddings=[3, 1], metadatas={"tags": ["a", "b"], "a.b": 7}))
    note("add array", lambda: rows.add(ids=["e"], embeddings=np.array([[5.0, 5.0]]), documents=["see"]))
    note("add there", lambda: rows.add(ids=["a", "f"], embeddings=[[9, 9], [6, 7]], documents=["no", "new"]))
    note("unchanged", lambda: rows.get(["a", "f"], include=["documents", "embeddings", "metadatas"]))


def reads(rows: Any, answers: Answers) -> None:
    note = answers.note
    note("get", lambda: rows.get())
    note("get ids", lambda: rows.get(ids=["c", "b", "zz", "a"]))
    note("get id", lambda: rows.get("c"))
    note("get vectors", lambda: rows.get(include=["embeddings"]))
    note("get nothing", lambda: rows.get(include=[]))
    for limit, offset in ((2, 1), (0, None), (None, 2), (100, 5), (1, 100)):
        note(f"page {limit} {offset}", partial(rows.get, limit=limit, offset=offset))
    note("page of where", lambda: rows.get(where={"year": {"$ne": 1}}, limit=2, offset=1)["ids"])
    note("get ids where", lambda: rows.get(ids=["a", "b"], where={"year": 1})["ids"])
    note("get no ids", lambda: rows.get(ids=[]))
    note("peek", lambda: rows.peek(2))
    note("count", lambda: rows.count())
    note("query", lambda: rows.query(query_embeddings=[1, 0.5]))
    note(
        "query n",
        lambda: rows.query(query_embeddings=[[1, 0.5], [0, 2]], n_results=2, include=["embeddings"]),
    )
    note("query where", lambda: rows.query(query_embeddings=[[1, 0.5]], where={"year": {"$gt": 1}})["ids"])
    note(
        "query where document",
        lambda: rows.query(query_embeddings=[[1, 0.5]], where_document={"$contains": "e"})["ids"],
    )
    note("query ids", lambda: rows.query(query_embeddings=[[1, 0.5]], ids=["a", "c"])["ids"])
    note("query ids alone", lambda: rows.query(query_embeddings=[[1, 0.5]], include=[]))
    for where in WHERE:
        note(f"where {where}", partial(ids_of, rows, where=where))
    for where in WHERE_DOCUMENT:
        note(f"document {where}", partial(ids_of, rows, where_document=where))


def ids_of(rows: Any, **criteria: Any) -> Any:
    return rows.get(**criteria)["ids"]


def refusals(rows: Any, answers: Answers) -> None:
    note = answers.note
    pair = [[1, 2]]
    note("twice", lambda: rows.add(ids=["q", "q"], embeddings=[[9, 9], [5, 5]]))
    note("lengths", lambda: rows.add(ids=["q", "r"], embeddings=[[9, 9]]))
    note("no vector", lambda: rows.add(ids=["q"]))
    note("dimension", lambda: rows.add(ids=["q"], embeddings=[[1, 2, 3]]))
    note("not a number", lambda: rows.add(ids=["q"], embeddings=[[float("nan"), 2]]))
    note("no rows", lambda: rows.add(ids=[], embeddings=[]))
    note("id of int", lambda: rows.add(ids=[1], embeddings=pair))
    note("empty id", lambda: rows.add(ids=[""], embeddings=pair))
    note("no metadata", lambda: rows.add(ids=["q"], embeddings=pair, metadatas=[{}]))
    note("dict in metadata", lambda: rows.add(ids=["q"], embeddings=pair, metadatas=[{"k": {"a": 1}}]))
    note("reserved", lambda: rows.add(ids=["q"], embeddings=pair, metadatas=[{"chroma:document": "a"}]))
    note("query dimension", lambda: rows.query(query_embeddings=[[1, 0.5, 1]]))
    note("query nothing", lambda: rows.query())
    note("query none", lambda: rows.query(query_embeddings=pair, n_results=0))
    note("include", lambda: rows.get(include=["foo"]))
    note("include distances", lambda: rows.get(include=["distances"]))
    note("delete all", lambda: rows.delete())
    note("delete no ids", lambda: rows.delete(ids=[]))
    note("nothing happened", lambda: rows.get()["ids"])


def changes(rows: Any, answers: Answers) -> None:
    note = answers.note
    everything = ["documents", "embeddings", "metadatas"]
    note("update", lambda: rows.update(ids=["b", "zz"], metadatas=[{"text": "changed", "new": 5}, {"a": 1}]))
    note("updated", lambda: rows.get(["b", "zz"], include=everything))
    note("update none", lambda: rows.update(ids=["b"], metadatas=[{"new": None}]))
    note("taken away", lambda: rows.get(["b"], include=everything))
    note("update vector", lambda: rows.update(ids="b", documents="hello2", embeddings=[1, 0.25]))
    note("vector", lambda: rows.get(["b"], include=everything))
    note(
        "upsert",
        lambda: rows.upsert(ids=["b", "g"], embeddings=[[1, 0.5], [7, 8]], metadatas=[{"up": 1}, {"up": 2}]),
    )
    note("upserted", lambda: rows.get(["b", "g"], include=everything))
    note("upsert vector", lambda: rows.upsert(ids=["b"], embeddings=[[1, 0]]))
    note("order", lambda: rows.get()["ids"])
    note("delete", lambda: rows.delete(ids=["g"]))
    note("delete where", lambda: rows.delete(where={"year": 1}))
    note("delete ids where", lambda: rows.delete(ids=["a", "c"], where={"year": 2}))
    note("delete document", lambda: rows.delete(where_document={"$contains": "see"}))
    note("left", lambda: rows.get())


def distances(client: Any, answers: Answers) -> None:
    for space in ("l2", "cosine", "ip"):
        for said in ({"metadata": {"hnsw:space": space}}, {"configuration": {"hnsw": {"space": space}}}):
            name = f"{space}-{next(iter(said))}"
            rows = client.create_collection(name, embedding_function=None, **said)
            rows.add(ids=["1", "2", "3"], embeddings=[[1, 2], [2, 1], [-1, 30]])
            answers.note(name, partial(rows.query, query_embeddings=[[3, 1], [-4, 2]]))


def texts(client: Any, embedder: Any, answers: Answers) -> None:
    note = answers.note
    rows = client.create_collection("texts", embedding_function=embedder)
    note("add texts", lambda: rows.add(ids=["1", "2"], documents=["a", "bbbb"]))
    note("query texts", lambda: rows.query(query_texts=["aa", "bbbbb"], n_results=1))
    note("query text", lambda: rows.query(query_texts="aa", n_results=1))
    note("update text", lambda: rows.update(ids=["1"], documents=["aaaaaa"]))
    note("embedded again", lambda: rows.get("1", include=["embeddings", "documents"]))
    note("upsert texts", lambda: rows.upsert(ids=["3"], documents="ccc", metadatas={"n": 1}))
    note("texts", lambda: rows.get(include=["embeddings", "documents", "metadatas"]))
    client.delete_collection("texts")
    note("deleted", lambda: rows.count())


if __name__ == "__main__":
    import chromadb

    class Embedder(Lengths, chromadb.EmbeddingFunction):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    print(json.dumps(run(chromadb.EphemeralClient(), Embedder()), indent=1, sort_keys=True))
