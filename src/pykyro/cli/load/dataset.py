"""The documents a load is about, the searches for them, and which answers are right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pykyro.model.errors import FailedPrecondition, InvalidArgument
from pykyro.model.types import Matrix, Metric
from pykyro.proto import kyrodb_pb2 as pb

if TYPE_CHECKING:
    from pykyro.client.sync_documents import Documents

SEED: Final = 42
NEIGHBOURS: Final = 10
MARK: Final = "kyrodb_load_tester"
"""A metadata key of every document that is stored for a load: what has it may be replaced."""
STORED, NEAR = "stored", "near"
_NEAR: Final = 0.05
"""Standard deviation of what is added to a stored vector, whose elements lie between -1 and 1."""


def vectors(count: int, dimension: int) -> Matrix:
    """Uniform between -1 and 1, the same in each run; float32 of shape (count, dimension)."""
    return np.random.default_rng(SEED).uniform(-1.0, 1.0, (count, dimension)).astype(np.float32)


def queries(stored: Matrix, kind: str, count: int) -> Matrix:
    """So many: the stored vectors one after the other, or each near to one of them and like no other."""
    at = np.arange(count) % len(stored)
    if kind == STORED:
        return stored[at]
    noise = np.random.default_rng(SEED + 1).normal(0.0, _NEAR, (count, stored.shape[1]))
    return (stored[at] + noise).astype(np.float32)


def seed(documents: Documents, stored: Matrix) -> None:
    """Store the vectors under the ids from 1 on.

    Raises FailedPrecondition when there are other documents, which would be replaced.
    """
    if documents.count() > documents.count(filter={MARK: {"$exists": True}}):
        raise FailedPrecondition(
            "the collection holds documents that are not of a load test, and seeding would replace some of them: "
            "give --collection NAME for one of its own, or --no-seed to search what is there"
        )
    report = documents.insert_many((at + 1, vector, {MARK: "1"}) for at, vector in enumerate(stored))
    if report.refused:
        raise InvalidArgument(f"{len(report.refused)} documents were refused: {report.refused[0].reason}")


def search_requests(wanted: Matrix, collection: str) -> list[bytes]:
    """A search for each of these, as bytes."""
    return [
        pb.SearchRequest(
            query_embedding=query.tolist(), k=NEIGHBOURS, min_score=-1.0, collection=collection
        ).SerializeToString()
        for query in wanted
    ]


def insert_requests(stored: Matrix, collection: str) -> list[bytes]:
    """A write for each of these, which replaces the document by itself."""
    return [
        pb.InsertRequest(
            doc_id=at + 1, embedding=vector.tolist(), metadata={MARK: "1"}, collection=collection
        ).SerializeToString()
        for at, vector in enumerate(stored)
    ]


def recall(
    stored: Matrix, wanted: Matrix, answers: Iterable[tuple[int, Sequence[int]]], metric: Metric
) -> float:
    """The share of the nearest neighbours that were found; each answer is the number of its query and its ids.

    Of documents that are equally near any will do. NaN without an answer.
    """
    shares = list(_shares(stored, wanted, answers, metric))
    return float(np.mean(shares)) if shares else float("nan")


def _shares(
    stored: Matrix, wanted: Matrix, answers: Iterable[tuple[int, Sequence[int]]], metric: Metric
) -> Iterator[float]:
    rows = stored.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    most = min(NEIGHBOURS, len(stored))
    for number, ids in answers:
        query = wanted[number].astype(np.float64)
        if metric is Metric.EUCLIDEAN:
            near = -np.linalg.norm(rows - query, axis=1)
        else:
            near = rows @ query
            if metric is Metric.COSINE:
                near = near / (norms * np.linalg.norm(query))
        least = np.partition(near, -most)[-most] - 1e-9
        yield sum(bool(near[doc_id - 1] >= least) for doc_id in ids if doc_id <= len(stored)) / most
