"""Insert, Delete, UpdateMetadata, BatchDelete: a test for each row of what clients rely on."""

from __future__ import annotations

import math
import time

import pytest
from tests.contract.corner import Corner, Refused, but_position

from pykyro.proto import kyrodb_pb2 as pb

X, Y, Z = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]


def test_insert_is_acknowledged_by_the_tier_that_holds_it(corner: Corner) -> None:
    before = int(time.time())
    response = corner.insert(1, X)
    assert (response.success, response.error) == (True, "")
    assert (response.total_inserted, response.total_failed) == (1, 0)
    assert response.tier == pb.InsertResponse.HOT_TIER
    assert before <= response.inserted_at <= time.time()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"doc_id": 0}, "doc_id must be >= 1"),
        ({"text_id": "a"}, "doc_id must be an integer, got str 'a'"),
        ({"embedding": []}, "embedding cannot be empty"),
        ({"embedding": [1.0] * 4097}, "embedding dimension 4097 exceeds maximum 4096"),
        ({"embedding": [math.nan, 1.0, 1.0, 1.0]}, "finite values"),
        ({"embedding": [math.inf, 1.0, 1.0, 1.0]}, "finite values"),
        ({"embedding": [1.0, 1.0]}, "Insert failed: embedding dimension mismatch: expected 4 found 2"),
        ({"embedding": [0.0] * 4}, "Insert failed: embedding norm is zero; cannot normalize"),
    ],
)
def test_bad_insert_is_the_clients_fault(corner: Corner, fields: dict[str, object], text: str) -> None:
    wanted = {"doc_id": corner.id(1), "embedding": X} | fields
    with Refused() as refused:
        corner.server.stub.Insert(pb.InsertRequest(**wanted))  # type: ignore[arg-type]
    assert refused.code == "INVALID_ARGUMENT"
    assert text in refused.text
    assert not corner.query(1).found


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text_id": "a"}, "documents[1]: doc_id must be an integer, got str 'a'"),
        ({"collection": "other"}, "documents[1]: collection must be empty, got 'other'"),
    ],
)
def test_a_batch_of_which_one_document_means_another_place_is_refused(
    corner: Corner, fields: dict[str, str], text: str
) -> None:
    """Nothing goes where it was not meant to."""
    documents = [corner.document(1, X), corner.document(2, Y)]
    documents[1].MergeFrom(pb.InsertRequest(**fields))  # type: ignore[arg-type]
    with Refused() as refused:
        corner.server.stub.BatchInsert(pb.BatchInsertRequest(documents=documents))
    assert refused.code == "INVALID_ARGUMENT"
    assert text in refused.text
    assert not corner.query(1).found


def test_upsert_replaces_vector_and_metadata(corner: Corner) -> None:
    corner.insert(1, X, {"colour": "red", "size": "1"})
    corner.insert(1, Y, {"colour": "blue"})
    found = corner.query(1, include_embedding=True)
    assert list(found.embedding) == Y
    assert dict(found.metadata) == {"colour": "blue"}
    assert corner.found(Y) == [1]


def test_embedding_comes_back_bit_for_bit(corner: Corner) -> None:
    sent = pb.InsertRequest(embedding=[3.3, -0.0, 1e-30, 7e30])
    corner.insert(1, list(sent.embedding))
    found = corner.query(1, include_embedding=True)
    assert [math.copysign(1, value) for value in found.embedding] == [1, -1, 1, 1]
    assert list(found.embedding) == list(sent.embedding)


def test_client_cannot_set_or_see_reserved_metadata(corner: Corner) -> None:
    corner.insert(
        1, X, {"__namespace__": "stolen", "__tenant_id__": "a", "__tenant_idx__": "1", "own": "yes"}
    )
    assert dict(corner.query(1).metadata) == {"own": "yes"}
    assert dict(corner.search(X).results[0].metadata) == {"own": "yes"}
    assert not corner.query(1, namespace="stolen").found


def test_document_belongs_to_the_namespace_it_was_last_inserted_with(corner: Corner) -> None:
    corner.insert(1, X)
    assert corner.query(1, namespace=corner.namespace).found
    assert not corner.query(1, namespace="other").found
    corner.server.stub.Insert(pb.InsertRequest(doc_id=corner.id(1), embedding=X))
    assert not corner.query(1, namespace=corner.namespace).found
    assert corner.query(1).found


def test_delete_says_whether_the_document_existed(corner: Corner) -> None:
    delete = corner.server.stub.Delete
    corner.insert(1, X)
    assert but_position(delete(pb.DeleteRequest(doc_id=corner.id(1)))) == pb.DeleteResponse(
        success=True, existed=True
    )
    assert but_position(delete(pb.DeleteRequest(doc_id=corner.id(1)))) == pb.DeleteResponse(
        success=True, existed=False
    )
    assert not corner.query(1).found
    assert corner.found(X) == []


def test_delete_in_another_namespace_finds_nothing(corner: Corner) -> None:
    corner.insert(1, X)
    response = corner.server.stub.Delete(pb.DeleteRequest(doc_id=corner.id(1), namespace="other"))
    assert but_position(response) == pb.DeleteResponse(success=True, existed=False)
    assert corner.query(1).found


def test_delete_of_id_zero_is_refused(corner: Corner) -> None:
    with Refused() as refused:
        corner.server.stub.Delete(pb.DeleteRequest(doc_id=0))
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "doc_id must be >= 1")


def update(
    corner: Corner, number: int, metadata: dict[str, str], **fields: object
) -> pb.UpdateMetadataResponse:
    request = pb.UpdateMetadataRequest(doc_id=corner.id(number), metadata=metadata, **fields)  # type: ignore[arg-type]
    response: pb.UpdateMetadataResponse = corner.server.stub.UpdateMetadata(request)
    return response


def test_merge_lays_entries_over_the_stored_ones(corner: Corner) -> None:
    corner.insert(1, X, {"colour": "red", "size": "1"})
    assert but_position(update(corner, 1, {"size": "2"}, merge=True)) == pb.UpdateMetadataResponse(
        success=True, existed=True
    )
    assert dict(corner.query(1).metadata) == {"colour": "red", "size": "2"}


def test_update_without_merge_replaces_everything_but_the_namespace(corner: Corner) -> None:
    corner.insert(1, X, {"colour": "red"})
    update(corner, 1, {"size": "2"})
    assert dict(corner.query(1, namespace=corner.namespace).metadata) == {"size": "2"}


def test_update_cannot_move_a_document(corner: Corner) -> None:
    corner.insert(1, X)
    update(corner, 1, {"__namespace__": "other"})
    assert corner.query(1, namespace=corner.namespace).found


@pytest.mark.parametrize(("number", "namespace"), [(9, ""), (1, "other")])
def test_update_of_what_is_not_there_succeeds_without_effect(
    corner: Corner, number: int, namespace: str
) -> None:
    corner.insert(1, X, {"a": "b"})
    response = update(corner, number, {"c": "d"}, namespace=namespace)
    assert but_position(response) == pb.UpdateMetadataResponse(success=True, existed=False)
    assert dict(corner.query(1).metadata) == {"a": "b"}


def test_update_of_id_zero_is_refused(corner: Corner) -> None:
    with Refused() as refused:
        corner.server.stub.UpdateMetadata(pb.UpdateMetadataRequest(doc_id=0))
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "doc_id must be non-zero")


def batch(corner: Corner, **fields: object) -> pb.BatchDeleteResponse:
    request = pb.BatchDeleteRequest(**fields)  # type: ignore[arg-type]
    response: pb.BatchDeleteResponse = corner.server.stub.BatchDelete(request)
    return response


def test_batch_delete_by_ids_counts_what_was_there(corner: Corner) -> None:
    for number in (1, 2, 3):
        corner.insert(number, X)
    ids = [corner.id(1), corner.id(1), corner.id(2), corner.id(8), 0]
    assert but_position(batch(corner, ids=pb.IdList(doc_ids=ids))) == pb.BatchDeleteResponse(
        success=True, deleted_count=2
    )
    assert corner.found(X) == [3]


def test_batch_delete_spares_other_namespaces(corner: Corner) -> None:
    corner.insert(1, X)
    ids = pb.IdList(doc_ids=[corner.id(1)])
    assert batch(corner, ids=ids, namespace="other").deleted_count == 0
    assert batch(corner, ids=ids, namespace=corner.namespace).deleted_count == 1


def test_batch_delete_by_filter_deletes_what_matches_in_the_namespace(corner: Corner) -> None:
    corner.insert(1, X, {"colour": "red"})
    corner.insert(2, Y, {"colour": "blue"})
    red = pb.MetadataFilter(exact=pb.ExactMatch(key="colour", value="red"))
    assert batch(corner, filter=red, namespace="other").deleted_count == 0
    assert batch(corner, filter=red, namespace=corner.namespace).deleted_count == 1
    assert corner.found(X) == [2]


def test_batch_delete_without_criteria_is_refused(corner: Corner) -> None:
    with Refused() as refused:
        batch(corner, namespace=corner.namespace)
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "No delete criteria provided")


@pytest.mark.parametrize(
    "everything",
    [
        pb.MetadataFilter(),
        pb.MetadataFilter(and_filter=pb.AndFilter()),
        pb.MetadataFilter(not_filter=pb.NotFilter(filter=pb.MetadataFilter(or_filter=pb.OrFilter()))),
    ],
)
def test_batch_delete_of_everything_by_an_empty_filter_is_refused(
    corner: Corner, everything: pb.MetadataFilter
) -> None:
    corner.insert(1, X)
    with Refused() as refused:
        batch(corner, filter=everything, namespace=corner.namespace)
    assert refused.code == "INVALID_ARGUMENT"
    assert "filter names no condition" in refused.text
    assert corner.query(1).found


def test_batch_delete_takes_ten_thousand_ids_and_no_more(corner: Corner) -> None:
    ids = list(range(corner.id(0), corner.id(10_000)))
    assert batch(corner, ids=pb.IdList(doc_ids=ids), namespace=corner.namespace).deleted_count == 0
    with Refused() as refused:
        batch(corner, ids=pb.IdList(doc_ids=[*ids, 1]))
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "Batch size 10001 exceeds maximum 10000")
