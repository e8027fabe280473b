"""BulkInsert, BulkLoadHnsw, BulkSearch: order, limits and counters of streams."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from tests.contract.corner import Corner, Refused
from tests.patience import PATIENCE_S

from pykyro.proto import kyrodb_pb2 as pb

X, Y = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]

BAD_DOCUMENTS = [
    ({"doc_id": 0}, "Invalid doc_id: 0"),
    ({"embedding": []}, "Empty embedding for doc_id {id}"),
    ({"embedding": [1.0] * 4097}, "Embedding dimension 4097 exceeds maximum 4096"),
    ({"embedding": [1.0] * 3}, "embedding dimension mismatch: expected 4 found 3"),
    ({"embedding": [math.nan] * 4}, "finite values"),
    ({"embedding": [0.0] * 4}, "embedding norm is zero"),
]


def test_bulk_insert_stores_everything(corner: Corner) -> None:
    messages = [corner.document(number, X, {"n": str(number)}) for number in range(1, 701)]
    response = corner.server.stub.BulkInsert(iter(messages))
    assert response.success
    assert (response.total_inserted, response.total_failed, response.error) == (700, 0, "")
    assert response.tier == pb.InsertResponse.HOT_TIER
    assert response.inserted_at > 0
    assert dict(corner.query(700).metadata) == {"n": "700"}
    assert corner.search(X, exact=True).matched == 700


@pytest.mark.parametrize(("fields", "text"), BAD_DOCUMENTS)
def test_bulk_insert_counts_a_bad_document_and_goes_on(
    corner: Corner, fields: dict[str, object], text: str
) -> None:
    bad = {"doc_id": corner.id(2), "embedding": X} | fields
    messages = [corner.document(1, X), pb.InsertRequest(**bad), corner.document(3, X)]  # type: ignore[arg-type]
    response = corner.server.stub.BulkInsert(iter(messages))
    assert (response.success, response.total_inserted, response.total_failed) == (False, 2, 1)
    assert text.format(id=corner.id(2)) in response.error
    assert corner.found(X) == [1, 3]


def test_bulk_insert_reports_the_latest_failure(corner: Corner) -> None:
    messages = [pb.InsertRequest(doc_id=0, embedding=X), pb.InsertRequest(doc_id=corner.id(1))]
    response = corner.server.stub.BulkInsert(iter(messages))
    assert response.total_failed == 2
    assert response.error == f"Empty embedding for doc_id {corner.id(1)}"


def test_bulk_insert_counts_replacements_and_keeps_the_last(corner: Corner) -> None:
    response = corner.server.stub.BulkInsert(iter([corner.document(1, X), corner.document(1, Y)]))
    assert response.total_inserted == 2
    assert list(corner.query(1, include_embedding=True).embedding) == Y


def test_bulk_insert_of_nothing_succeeds(corner: Corner) -> None:
    response = corner.server.stub.BulkInsert(iter([]))
    assert (response.success, response.total_inserted, response.total_failed) == (True, 0, 0)
    assert response.tier == pb.InsertResponse.UNKNOWN


def test_bulk_insert_stops_reading_at_its_limit(corner: Corner) -> None:
    messages = (corner.document(number, X) for number in range(1, 10_003))
    response = corner.server.stub.BulkInsert(messages)
    assert (response.success, response.total_inserted, response.total_failed) == (False, 10_000, 1)
    assert response.error == "Batch size exceeds maximum 10000"
    assert corner.query(10_000).found
    assert not corner.query(10_001).found


def test_documents_of_a_slow_stream_do_not_wait_for_its_end(corner: Corner) -> None:
    first_is_in = threading.Event()

    def messages() -> Iterator[pb.InsertRequest]:
        yield corner.document(1, X)
        assert first_is_in.wait(PATIENCE_S)
        yield corner.document(2, X)

    call = corner.server.stub.BulkInsert.future(messages())
    while not corner.query(1).found:
        assert not call.done()
    first_is_in.set()
    assert call.result().total_inserted == 2


def test_bulk_load_stores_and_measures(corner: Corner) -> None:
    messages = (corner.document(number, X) for number in range(1, 1501))
    response = corner.server.stub.BulkLoadHnsw(messages)
    assert response.success
    assert (response.total_loaded, response.total_failed, response.error) == (1500, 0, "")
    assert response.load_duration_ms > 0
    assert response.avg_insert_rate > 0
    assert response.peak_memory_bytes > 10 << 20
    assert corner.search(X, exact=True).matched == 1500


def test_bulk_load_counts_bad_documents_and_goes_on(corner: Corner) -> None:
    messages = [corner.document(1, X), pb.InsertRequest(doc_id=0, embedding=X), corner.document(2, [0.0] * 4)]
    response = corner.server.stub.BulkLoadHnsw(iter(messages))
    assert (response.success, response.total_loaded, response.total_failed) == (False, 1, 2)
    assert response.error.startswith("Loaded 1 docs; 2 failed validation, 0 failed insertion; last_error=")
    assert corner.found(X) == [1]


def asked(corner: Corner, embedding: list[float], **fields: object) -> pb.SearchRequest:
    wanted = {"query_embedding": embedding, "k": 1, "namespace": corner.namespace} | fields
    return pb.SearchRequest(**wanted)  # type: ignore[arg-type]


def test_bulk_search_answers_in_the_order_of_the_requests(corner: Corner) -> None:
    corner.insert(1, X)
    corner.insert(2, Y)
    requests = [asked(corner, X if number % 3 else Y) for number in range(400)]
    responses = list(corner.server.stub.BulkSearch(iter(requests)))
    numbers = [response.results[0].doc_id - corner.first_id for response in responses]
    assert numbers == [1 if number % 3 else 2 for number in range(400)]
    assert all(response.search_latency_ms > 0 for response in responses)


def test_bulk_search_answers_before_the_stream_ends(corner: Corner) -> None:
    corner.insert(1, X)
    answered = threading.Event()

    def requests() -> Iterator[pb.SearchRequest]:
        yield asked(corner, X)
        assert answered.wait(PATIENCE_S)
        yield asked(corner, X)

    responses = corner.server.stub.BulkSearch(requests())
    assert next(responses).results[0].doc_id == corner.id(1)
    answered.set()
    assert len(list(responses)) == 1


def test_bulk_search_answers_everything_before_a_bad_request(corner: Corner) -> None:
    corner.insert(1, X)
    requests = [*[asked(corner, X)] * 5, asked(corner, X, k=0), asked(corner, X)]
    responses = corner.server.stub.BulkSearch(iter(requests))
    for _ in range(5):
        assert next(responses).results[0].doc_id == corner.id(1)
    with Refused() as refused:
        next(responses)
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "k must be greater than 0")


def test_bulk_search_of_another_dimension_harms_no_other_request(corner: Corner) -> None:
    corner.insert(1, X)
    responses = corner.server.stub.BulkSearch(iter([asked(corner, X), asked(corner, [1.0] * 3)]))
    assert next(responses).results[0].doc_id == corner.id(1)
    with Refused() as refused:
        next(responses)
    assert refused.text == "query dimension mismatch: expected 4 found 3"


def test_bulk_search_answers_a_failure_inline_when_asked(corner: Corner) -> None:
    corner.insert(1, X)
    requests = [asked(corner, X), asked(corner, X, k=0, inline_errors=True), asked(corner, X)]
    first, failed, last = corner.server.stub.BulkSearch(iter(requests))
    assert failed == pb.SearchResponse(error="k must be greater than 0")
    assert first.results[0].doc_id == last.results[0].doc_id == corner.id(1)


def test_bulk_search_of_nothing_succeeds(corner: Corner) -> None:
    assert list(corner.server.stub.BulkSearch(iter([]))) == []


def test_bulk_search_takes_ten_thousand_requests_and_no_more(corner: Corner) -> None:
    responses = corner.server.stub.BulkSearch(asked(corner, X) for _ in range(10_001))
    for _ in range(10_000):
        next(responses)
    with Refused() as refused:
        next(responses)
    assert refused.code == "RESOURCE_EXHAUSTED"
    assert refused.text == "bulk_search batch size exceeds maximum 10000"


def test_client_that_leaves_a_stream_harms_nobody(corner: Corner) -> None:
    left = corner.server.stub.BulkSearch(asked(corner, X) for _ in range(5000))
    next(left)
    left.cancel()
    half_sent = corner.server.stub.BulkInsert.future(corner.document(number, X) for number in range(5000))
    half_sent.cancel()
    corner.insert(1, Y)
    assert 1 in corner.found(Y)
