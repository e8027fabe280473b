"""The graph finds what an exact scan finds, nearly always, and refuses what is no graph."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from pykyro.index.vector.coding import Code
from pykyro.index.vector.graph_build import GraphParameters, build_graph, extend_graph
from pykyro.index.vector.hnsw import Graph, graph_from_bytes, load_graph
from pykyro.model import distance
from pykyro.model.types import Matrix, Metric

METRICS = list(Metric)
ROWS, K = 2500, 10


def clustered(count: int, dimension: int, seed: int) -> Matrix:
    """Points around 40 centres, the same centres for every seed, of unequal length."""
    centres = np.random.default_rng(0).normal(size=(40, dimension))
    rng = np.random.default_rng(seed)
    points = centres[rng.integers(0, 40, count)] + 0.6 * rng.normal(size=(count, dimension))
    return (points * rng.lognormal(0, 0.2, size=(count, 1))).astype(np.float32)


def build(rows: Matrix, metric: Metric) -> Graph:
    by_product = metric is not Metric.EUCLIDEAN
    parameters = GraphParameters(16, 200, metric)
    return build_graph(distance.index_form(rows, metric), parameters, Code.BF16, by_product=by_product)


def recall(graph: Graph, rows: Matrix, queries: Matrix, metric: Metric, ef: int) -> float:
    shared = 0
    for query in queries:
        best = np.argsort(-distance.similarities(rows, query, metric), kind="stable")[:K]
        found, _ = graph.search(distance.index_form(query[np.newaxis], metric)[0], K, ef)
        shared += len(np.intersect1d(found, best))
    return shared / (K * len(queries))


@pytest.fixture(scope="module", params=[(metric, width) for metric in METRICS for width in (32, 50)])
def case(request: pytest.FixtureRequest) -> tuple[Graph, Matrix, Matrix, Metric]:
    metric, width = request.param
    rows = clustered(ROWS, width, 1)
    return build(rows, metric), rows, clustered(40, width, 2), metric


def test_recall_at_128(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, rows, queries, metric = case
    assert recall(graph, rows, queries, metric, 128) >= 0.95


def test_with_every_row_a_candidate_nothing_is_missed(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, rows, queries, metric = case
    for query in queries:
        question = distance.index_form(query[np.newaxis], metric)[0]
        found, _ = graph.search(question, ROWS, ROWS)
        assert (np.sort(found) == np.arange(ROWS)).all()
        # The bfloat16 similarities order rows so well that rescoring a few more than k gives the true answer.
        best = np.argsort(-distance.similarities(rows, query, metric), kind="stable")[:K]
        assert np.isin(best, found[: 3 * K]).all()


def test_short_rows_are_found_when_only_they_are_asked_for() -> None:
    rng = np.random.default_rng(5)
    rows = clustered(ROWS, 32, 1) * rng.lognormal(0, 0.7, size=(ROWS, 1)).astype(np.float32)
    lengths = distance.norms(rows)
    short = lengths < np.quantile(lengths, 0.5)
    graph = build(rows, Metric.INNER_PRODUCT)
    shared = 0
    queries = clustered(40, 32, 2)
    for query in queries:
        met, _ = graph.search(query, ROWS, ROWS)
        found = met[short[met]][:K]
        shared += len(np.intersect1d(found, np.argsort(-np.where(short, rows @ query, -np.inf))[:K]))
    assert shared / (K * len(queries)) >= 0.95


def test_rows_of_zeros_do_no_harm_to_inner_products() -> None:
    rows = clustered(600, 16, 1)
    rows[::50] = 0
    graph = build(rows, Metric.INNER_PRODUCT)
    found, similarities = graph.search(rows[1], 600, 600)
    assert (np.sort(found) == np.arange(600)).all()
    assert np.isfinite(similarities).all()


def test_similarities_are_near_the_canonical_and_best_first(
    case: tuple[Graph, Matrix, Matrix, Metric],
) -> None:
    graph, rows, queries, metric = case
    query = distance.index_form(queries[:1], metric)[0]
    found, similarities = graph.search(query, K, 64)
    assert found.dtype == np.int64
    assert similarities.dtype == np.float32
    assert (np.diff(similarities) <= 0).all()
    canonical = distance.similarities(rows[found], queries[0], metric)
    assert np.allclose(similarities, canonical, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("count", [1, 1_000_000], ids=["whole", "in halves"])
def test_a_scan_finds_the_best_of_the_selected_rows(
    case: tuple[Graph, Matrix, Matrix, Metric], count: int
) -> None:
    graph, rows, queries, metric = case
    mask = np.random.default_rng(3).random(ROWS) < 0.2
    for selected, alive in ((None, np.ones(ROWS, np.bool_)), (np.packbits(mask, bitorder="little"), mask)):
        for query in queries:
            question = distance.index_form(query[np.newaxis], metric)[0]
            found, similarities = graph.scan(question, 3 * K, selected, count)
            assert alive[found].all()
            assert (np.diff(similarities) <= 0).all()
            canonical = distance.similarities(rows[found], query, metric)
            assert np.allclose(similarities, canonical, rtol=0.02, atol=0.02)
            everything = np.where(alive, distance.similarities(rows, query, metric), -np.inf)
            assert np.isin(np.argsort(-everything, kind="stable")[:K], found).all()


def test_fewer_rows_than_k_are_given_as_they_are(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, _, queries, metric = case
    questions = distance.index_form(queries[:2], metric)
    bits = np.zeros(-(-ROWS // 8), dtype=np.uint8)
    bits[0] = 0b0010_0100
    for count in (1, 1_000_000):
        found, similarities = graph.scan(questions[0], K, bits, count)
        assert set(found) == {2, 5}
        assert np.isfinite(similarities).all()
    bits[:] = 0
    found, similarities = graph.scan(questions[0], K, bits, 1)
    assert found.shape == similarities.shape == (0,)
    empty = build(np.empty((0, questions.shape[1]), dtype=np.float32), metric)
    many, _ = empty.search_many(questions, K, 100)
    assert many.shape == (2, K)
    assert (many == -1).all()


def test_ef_is_at_least_k(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, _, queries, metric = case
    found, _ = graph.search(distance.index_form(queries[:1], metric)[0], 200, 1)
    assert len(found) == len(np.unique(found)) == 200


def test_many_queries_answer_as_one_by_one(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, _, queries, metric = case
    questions = distance.index_form(queries, metric)
    rows, similarities = graph.search_many(questions, K, 64)
    assert rows.shape == similarities.shape == (len(queries), K)
    for one, found, values in zip(questions, rows, similarities, strict=True):
        expected = graph.search(one, K, 64)
        assert (expected[0] == found).all()
        assert (expected[1] == values).all()


def test_a_stored_graph_answers_the_same(case: tuple[Graph, Matrix, Matrix, Metric], tmp_path: Path) -> None:
    graph, rows, queries, metric = case
    graph.write(str(tmp_path / "graph"))
    query = distance.index_form(queries[:1], metric)[0]
    expected = graph.search(query, K, 64)
    for loaded in (
        load_graph(str(tmp_path / "graph"), rows=ROWS, dimension=rows.shape[1]),
        load_graph(str(tmp_path / "graph"), rows=ROWS, dimension=rows.shape[1], mapped=False),
        graph_from_bytes(graph.to_bytes(), rows=ROWS, dimension=rows.shape[1]),
    ):
        assert (loaded.ntotal, loaded.dimension) == (ROWS, rows.shape[1])
        assert loaded.memory_bytes == graph.memory_bytes > ROWS * rows.shape[1] * 2
        found = loaded.search(query, K, 64)
        assert np.array_equal(expected[0], found[0])
        assert np.array_equal(expected[1], found[1])


def test_an_extended_graph_holds_old_and_new_rows(
    case: tuple[Graph, Matrix, Matrix, Metric], tmp_path: Path
) -> None:
    graph, rows, queries, metric = case
    more = clustered(500, rows.shape[1], 4)
    graph.write(str(tmp_path / "graph"))
    if graph.by_product:
        with pytest.raises(ValueError, match="by inner product cannot be extended"):
            extend_graph(graph.to_bytes(), distance.index_form(more, metric))
        return
    before = (tmp_path / "graph").read_bytes()
    for source in (graph.to_bytes(), str(tmp_path / "graph")):
        extended = extend_graph(source, distance.index_form(more, metric), threads=2)
        assert (extended.ntotal, extended.dimension) == (ROWS + 500, rows.shape[1])
        assert recall(extended, np.concatenate([rows, more]), queries, metric, 256) >= 0.95
    assert (graph.ntotal, (tmp_path / "graph").read_bytes()) == (ROWS, before)


def test_threads_may_search_one_graph_together(case: tuple[Graph, Matrix, Matrix, Metric]) -> None:
    graph, _, queries, metric = case
    questions = distance.index_form(queries, metric)
    bits = np.packbits(np.arange(ROWS) % 2 == 0, bitorder="little")

    def ask(turn: int) -> npt.NDArray[np.int64]:
        question = questions[turn % len(questions)]
        if turn % 2:
            return graph.scan(question, K, bits, count=1 if turn % 4 == 1 else 1_000_000)[0]
        return graph.search(question, K, 64)[0]

    alone = [ask(turn) for turn in range(400)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, range(400)))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_one_thread_builds_the_same_graph_twice() -> None:
    rows = clustered(600, 20, 1)
    assert (build(rows, Metric.COSINE).to_bytes() == build(rows, Metric.COSINE).to_bytes()).all()


def test_building_leaves_the_number_of_threads_alone() -> None:
    before = faiss.omp_get_max_threads()
    build_graph(
        clustered(50, 16, 1),
        GraphParameters(8, 40, Metric.EUCLIDEAN),
        Code.I8,
        by_product=False,
        threads=before + 1,
    )
    assert faiss.omp_get_max_threads() == before


def test_a_graph_without_rows_finds_nothing() -> None:
    graph = build(np.empty((0, 8), dtype=np.float32), Metric.EUCLIDEAN)
    assert graph.search(np.ones(8, dtype=np.float32), 3, 10)[0].shape == (0,)
    assert extend_graph(graph.to_bytes(), np.eye(8, dtype=np.float32)).ntotal == 8


def test_what_cannot_be_loaded_is_a_value_error(tmp_path: Path) -> None:
    data = build(clustered(100, 20, 1), Metric.EUCLIDEAN).to_bytes()
    for spoiled in (data[:-1], data[: len(data) // 2], data[:3], data[:0], np.zeros(64, dtype=np.uint8)):
        with pytest.raises(ValueError, match="cannot load graph"):
            graph_from_bytes(spoiled)
        (tmp_path / "graph").write_bytes(spoiled.tobytes())
        with pytest.raises(ValueError, match="cannot load graph"):
            load_graph(str(tmp_path / "graph"))
    with pytest.raises(ValueError, match="cannot load graph"):
        load_graph(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="cannot write graph"):
        graph_from_bytes(data).write(str(tmp_path / "no folder" / "graph"))


def test_a_graph_of_another_kind_or_size_is_refused() -> None:
    flat = faiss.IndexFlatL2(16)
    flat.add(np.zeros((3, 16), dtype=np.float32))
    with pytest.raises(ValueError, match="IndexFlat"):
        graph_from_bytes(faiss.serialize_index(flat))
    data = build(clustered(100, 20, 1), Metric.EUCLIDEAN).to_bytes()
    with pytest.raises(ValueError, match="has 100 rows, expected 99"):
        graph_from_bytes(data, rows=99)
    with pytest.raises(ValueError, match="has dimension 20, expected 32"):
        graph_from_bytes(data, dimension=32)
    with pytest.raises(ValueError, match="dimension 21 cannot extend a graph of 20"):
        extend_graph(data, np.zeros((1, 21), dtype=np.float32))
