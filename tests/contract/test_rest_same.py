"""The same case over gRPC, over REST and embedded: the same answers, positions included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from tests.server.running import running_server
from tests.transport.rest.door import Refused, RestDoor, client_of

import pykyro
from pykyro.model.errors import Aborted, AlreadyExists, InvalidArgument

DIMENSION: Final = 4
WHEN: Final = datetime(2031, 5, 17, 12, 30, 1, 250_000, UTC)
VALUES: Final[dict[str, Any]] = {
    "text": "Grüße",
    "integer": 2**64 - 1,
    "least": -(2**63),
    "beyond doubles": 2**53 + 1,
    "float": 0.1,
    "whole float": 3.0,
    "infinite": float("-inf"),
    "true": True,
    "null": None,
    "when": WHEN,
    "list": [1, 1.5, "a", None, [True], {"at": WHEN}],
    "object": {"a": {"b": [1]}},
    "special": {"$time": "no time at all"},
}


class PythonDoor:
    """A collection of a client or of an embedded database, answering as RestDoor does."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._collection, name)
        return lambda *arguments, **named: self._shown(name, method(*arguments, **named))

    def _shown(self, name: str, answer: Any) -> Any:
        match name:
            case "insert":
                return None
            case "insert_many":
                return answer.inserted, [one.id for one in answer.refused]
            case "get":
                return None if answer is None else shown(answer)
            case "get_many":
                return [None if one is None else shown(one) for one in answer]
            case "search":
                return [shown(hit) for hit in answer], answer.matched, answer.exact, answer.position
            case "search_many":
                return [[shown(hit) for hit in one] for one in answer]
            case "scroll":
                return [shown(one) for one in answer], answer.next_page_token, answer.position
            case "documents":
                return [shown(one) for one in answer]
            case "sample":
                return sorted(map(shown, answer))
            case "facets":
                return [(one.value, one.count) for one in answer]
            case _:
                return answer


def shown(one: Any) -> tuple[Any, ...]:
    """A hit or document as tests compare it."""
    vector = None if one.vector is None else one.vector.tobytes()
    return one.id, getattr(one, "score", None), one.metadata, vector, one.position, one.expires_at


def vectors(count: int) -> Any:
    return np.random.default_rng(5).standard_normal((count, DIMENSION)).astype(np.float32)


# --- cases ----------------------------------------------------------------------------------------


def values_of_every_type(door: Any) -> Iterator[Any]:
    vector = np.array([0.1, -0.0, 1e-45, 3.4e38], np.float32) / np.float32(2)
    yield door.insert(1, vector, VALUES)
    yield door.get(1)
    yield door.search(vector, 1, include_vectors=True, include_positions=True)
    yield door.update_metadata(1, {"integer": 7, "new": [WHEN]}, merge=True)
    yield door.get_many([1, 2])
    yield door.update_metadata(1, {"only": 1.0})
    yield door.get(1)
    yield door.update_metadata(9, {"nobody": 1})
    yield door.delete(1), door.delete(1), door.get(1)


def filters(door: Any) -> Iterator[Any]:
    rows = vectors(40)
    yield door.insert_many(
        [
            (at + 1, row, {"n": at, "half": at / 2, "tag": f"t{at % 3}", "when": WHEN})
            for at, row in enumerate(rows)
        ]
    )
    for condition in (
        {},
        {"n": 7},
        {"n": {"$gte": 5, "$lt": 20}},
        {"half": {"$between": [1, 3.5]}},
        {"tag": {"$in": ["t1", "t2"]}, "n": {"$ne": 4}},
        {"$or": [{"n": {"$gt": 38}}, {"$not": {"tag": "t0"}}]},
        {"when": {"$lte": WHEN}},
        {"when": WHEN},
        {"tag": {"$prefix": "t"}},
        {"missing": {"$exists": False}},
    ):
        yield door.search(rows[3], 5, filter=condition)
        yield door.count(filter=condition)
        yield door.facets("tag", filter=condition)
        yield door.scroll(filter=condition, limit=4, descending=True)


def listings(door: Any) -> Iterator[Any]:
    yield door.insert_many([(at + 1, row, {"n": at % 7}) for at, row in enumerate(vectors(30))])
    token = ""
    for _ in range(4):
        documents, token, position = door.scroll(
            limit=9, page_token=token, order_by="n", include_vectors=True
        )
        yield documents, token, position
    yield door.documents(order_by="n", descending=True)
    yield door.documents(filter={"n": {"$lt": 3}}, include_vectors=True)
    yield door.sample(1000)
    yield door.facets("n", limit=3)


def searches(door: Any) -> Iterator[Any]:
    rows = vectors(60)
    yield door.insert_many([(at + 1, row) for at, row in enumerate(rows)], namespace="a")
    yield door.insert_many([(at + 101, row) for at, row in enumerate(rows[:20])], namespace="b")
    for namespace in ("", "a", "b", "c"):
        yield door.search(rows[1], 3, namespace=namespace, exact=True)
    yield door.search(rows[1], 5, min_score=0.5)
    yield door.search(rows[2], 5, ef_search=200, include_metadata=False)
    yield door.search_many(rows[:6], 4)
    yield door.count(namespace="b"), door.get(101, "a"), door.delete(101, "a"), door.delete(101, "b")


def writes_with_terms(door: Any) -> Iterator[Any]:
    one = [1, 0, 0, 0]
    yield door.insert(5, one, {"v": 1}, idempotency_key="once")
    yield door.insert(5, one, {"v": 1}, idempotency_key="once")
    yield door.get(5)
    yield refusal(lambda: door.insert(5, one, if_absent=True))
    yield refusal(lambda: door.update_metadata(5, {"v": 2}, if_position=99))
    yield door.update_metadata(5, {"v": 2}, if_position=1)
    yield refusal(lambda: door.insert(5, one, if_filter={"v": 1}))
    yield door.insert(5, one, {"v": 3}, if_filter={"v": 2})
    yield door.get(5)
    yield door.insert(6, one, expires_at=WHEN.replace(microsecond=0))
    yield door.get(6)
    yield door.update_metadata(6, {}, merge=True, ttl=float(10**9))
    yield door.insert_many([(at, one) for at in range(20, 25)], atomic=True, idempotency_key="all")
    yield door.insert_many([(at, one) for at in range(20, 25)], atomic=True, idempotency_key="all")
    yield door.delete_many([20, 21, 77]), door.delete_many(filter={"v": 3}), door.count()


def many_and_bad(door: Any) -> Iterator[Any]:
    # Each id is the position of its document, which REST names and Python the id.
    yield door.insert_many([(1, [1.0] * 4), (1, [1.0] * 3), (2, [0.0] * 4), (3, [1.0, 2, 3, 4])])[0]
    yield refusal(lambda: door.insert_many([(8, [1.0] * 4), (9, [1.0] * 3)], atomic=True), words=False)
    yield door.count(), door.get(8)


def refusal(call: Callable[[], Any], *, words: bool = True) -> Any:
    """How a call is refused: the code, and what was said from where on the doors say the same."""
    codes = {InvalidArgument: "INVALID_ARGUMENT", Aborted: "ABORTED", AlreadyExists: "ALREADY_EXISTS"}
    try:
        call()
    except Refused as refused:
        code, text = refused.problem["code"], str(refused)
    except pykyro.KyroError as error:
        code, text = codes[type(error)], str(error)
    else:
        raise AssertionError("it was not refused")
    return code, text.partition("failed: ")[2] or text if words else ""


CASES: Final = (values_of_every_type, filters, listings, searches, writes_with_terms, many_and_bad)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Of each door an empty collection of a name."""
    directory: Path = tmp_path_factory.mktemp("rest")
    with (
        running_server(directory, hnsw__dimension=DIMENSION) as server,
        pykyro.Client(f"127.0.0.1:{server.port}") as client,
        client_of(server.http_port) as rest,
        pykyro.open(directory / "embedded", dimension=DIMENSION) as embedded,
    ):

        def of(name: str) -> dict[str, Any]:
            grpc_name, rest_name = f"{name}-grpc", f"{name}-rest"
            response = rest.put(f"/v1/collections/{rest_name}", json={"dimension": DIMENSION})
            assert response.status_code == 201
            return {
                "grpc": PythonDoor(client.create_collection(grpc_name, DIMENSION)),
                "embedded": PythonDoor(embedded.create_collection(name, DIMENSION)),
                "rest": RestDoor(rest, rest_name),
            }

        yield of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_door_answers_the_same(doors: Callable[[str], dict[str, Any]], case: Any) -> None:
    steps = {name: case(door) for name, door in doors(case.__name__.replace("_", "-")).items()}
    count = 0
    for grpc_answer in steps["grpc"]:
        answers = {name: next(steps[name]) for name in ("embedded", "rest")}
        for name, answer in answers.items():
            assert answer == grpc_answer, (name, count)
        count += 1
    assert count > 2
