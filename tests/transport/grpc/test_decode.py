"""Requests as bytes: whatever way a client encodes a vector, the database gets the same float32 values."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.model import limits
from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument
from pykyro.model.metadata_wire import varint
from pykyro.model.requests import SearchRequest
from pykyro.model.types import EVERYTHING, Metric, Scope
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import ANYBODY, Caller
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.search_codec import GrpcSearchCodec, wants_inline_errors
from pykyro.transport.grpc.writes import decode_insert, insert_fault, request_bytes

DIMENSION = 4
COSINE = Schema(DIMENSION, Metric.COSINE)
INNER_PRODUCT = Schema(DIMENSION, Metric.INNER_PRODUCT)
VECTOR = [0.5, -1.0, 2.0, 0.25]

float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def insert(**fields: object) -> bytes:
    return pb.InsertRequest(**{"doc_id": 7, "embedding": VECTOR} | fields).SerializeToString()  # type: ignore[arg-type]


def asked(**fields: object) -> bytes:
    return pb.SearchRequest(**{"query_embedding": VECTOR, "k": 3} | fields).SerializeToString()  # type: ignore[arg-type]


def packed(tag: int, values: list[float]) -> bytes:
    body = struct.pack(f"<{len(values)}f", *values)
    return bytes([tag << 3 | 2]) + varint(len(body)) + body


def unpacked(tag: int, values: list[float]) -> bytes:
    return b"".join(struct.pack("<Bf", tag << 3 | 5, value) for value in values)


@st.composite
def encoded_in_pieces(draw: st.DrawFn, tag: int, values: list[float]) -> bytes:
    """A repeated float cut anywhere, each piece packed or not, as a decoder has to accept."""
    cuts = sorted(draw(st.lists(st.integers(0, len(values)), max_size=3)))
    pieces = [values[start:end] for start, end in zip([0, *cuts], [*cuts, len(values)])]
    return b"".join(draw(st.sampled_from([packed, unpacked]))(tag, piece) for piece in pieces)


@given(st.data(), st.lists(float32, min_size=1, max_size=2 * DIMENSION))
def test_vector_in_any_encoding_is_what_protobuf_reads(data: st.DataObject, values: list[float]) -> None:
    for tag, reads in ((2, insert_vector), (1, asked_vector)):
        payload = data.draw(encoded_in_pieces(tag, values))
        if len(values) == DIMENSION:
            assert reads(payload).tobytes() == np.array(values, np.float32).tobytes()
        else:
            with pytest.raises(InvalidArgument, match=f"expected {DIMENSION} found {len(values)}"):
                reads(payload)


def insert_vector(embedding: bytes) -> np.ndarray:
    payload = pb.InsertRequest(doc_id=7).SerializeToString() + embedding
    return decode_insert(payload, INNER_PRODUCT, ANYBODY).document.vector


def asked_vector(embedding: bytes) -> np.ndarray:
    payload = pb.SearchRequest(k=3).SerializeToString() + embedding
    return GrpcSearchCodec(INNER_PRODUCT).decode(payload, ANYBODY).vector


@given(st.lists(float32, min_size=DIMENSION, max_size=DIMENSION), st.dictionaries(text, text, max_size=4))
def test_document_keeps_vector_and_metadata(values: list[float], metadata: dict[str, str]) -> None:
    payload = insert(doc_id=limits.DOC_ID_MAX, embedding=values, metadata=metadata)
    document = decode_insert(payload, INNER_PRODUCT, ANYBODY).document
    assert document.doc_id == limits.DOC_ID_MAX
    assert document.vector.dtype == np.float32
    assert document.vector.tobytes() == np.array(values, np.float32).tobytes()
    assert document.metadata == metadata


def test_client_cannot_set_reserved_metadata() -> None:
    metadata = {"__tenant_id__": "a", "__tenant_idx__": "9", "__namespace__": "theirs", "colour": "red"}
    document = decode_insert(insert(metadata=metadata, namespace="ours"), COSINE, Caller(3, "acme")).document
    assert document.metadata == {
        "colour": "red",
        "__tenant_id__": "acme",
        "__tenant_idx__": "3",
        "__namespace__": "ours",
    }


def test_document_without_namespace_has_no_namespace_entry() -> None:
    assert decode_insert(insert(), COSINE, ANYBODY).document.metadata == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"doc_id": 0}, "doc_id must be >= 1"),
        ({"embedding": []}, "embedding cannot be empty"),
        ({"embedding": [1.0] * 4097}, "embedding dimension 4097 exceeds maximum 4096"),
        ({"embedding": [1.0, math.nan, 1.0, 1.0]}, "embedding must contain only finite values"),
        ({"embedding": [1.0, math.inf, 1.0, 1.0]}, "embedding must contain only finite values"),
        ({"embedding": [1.0, 2.0, 3.0]}, "Insert failed: embedding dimension mismatch: expected 4 found 3"),
        ({"embedding": [0.0] * 4}, "Insert failed: embedding norm is zero; cannot normalize"),
        ({"namespace": "é" * 513}, "namespace has 1026 bytes; the maximum is 1024"),
        ({"metadata": {str(n): "" for n in range(1025)}}, "metadata has 1025 entries; the maximum is 1024"),
        ({"metadata": {"k" * 1025: ""}}, "has 1025 bytes; the maximum is 1024"),
        ({"metadata": {"k": "v" * (1 << 20)}}, "metadata has 1048577 bytes; the maximum is 1048576"),
    ],
)
def test_bad_document_is_refused_in_the_words_clients_know(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode_insert(insert(**fields), COSINE, ANYBODY)
    assert message in str(refused.value)


def test_largest_metadata_is_accepted() -> None:
    metadata = {"k" * 1024: "v" * ((1 << 20) - 1024)}
    assert decode_insert(insert(metadata=metadata), COSINE, ANYBODY).document.metadata == metadata


def test_zero_vector_is_refused_for_cosine_only() -> None:
    assert not decode_insert(insert(embedding=[0.0] * 4), INNER_PRODUCT, ANYBODY).document.vector.any()


@pytest.mark.parametrize("payload", [b"\xff\xff", b"\x12\x10abc", b"\x22\x02\xff\xfe"])
def test_bytes_that_are_no_message_are_the_clients_fault(payload: bytes) -> None:
    with pytest.raises(InvalidArgument, match="are no valid InsertRequest"):
        decode_insert(payload, COSINE, ANYBODY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"doc_id": 0}, "Invalid doc_id: 0"),
        ({"embedding": []}, "Empty embedding for doc_id 7"),
        ({"embedding": [1.0] * 4097}, "Embedding dimension 4097 exceeds maximum 4096"),
        ({"embedding": [1.0, 2.0]}, "embedding dimension mismatch: expected 4 found 2"),
        ({"embedding": [0.0] * 4}, "embedding norm is zero"),
        ({"embedding": [math.nan] * 4}, "finite values"),
    ],
)
def test_stream_words_a_bad_document_its_own_way(fields: dict[str, object], message: str) -> None:
    payload = insert(**fields)
    with pytest.raises(InvalidArgument) as refused:
        decode_insert(payload, COSINE, ANYBODY)
    assert message in insert_fault(payload, refused.value)


def test_stream_reports_bytes_that_are_no_message() -> None:
    fault = InvalidArgument("not a message")
    assert insert_fault(b"\xff\xff", fault) == "not a message"


def test_search_carries_every_field() -> None:
    request = GrpcSearchCodec(COSINE).decode(
        asked(
            min_score=0.5,
            namespace="n",
            include_embeddings=True,
            ef_search=77,
            exact=True,
            exclude_metadata=True,
        ),
        Caller(tenant=2),
    )
    assert request.vector.tolist() == VECTOR
    assert (request.k, request.ef_search, request.min_score) == (3, 77, 0.5)
    assert (request.exact, request.include_vectors, request.include_metadata) == (True, True, False)
    assert request.scope == Scope(2, "n")
    assert request.filter is None


def test_plain_search_sees_everything() -> None:
    request = GrpcSearchCodec(COSINE).decode(asked(), ANYBODY)
    assert request.scope == EVERYTHING
    assert request.include_metadata
    assert not request.exact


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query_embedding": []}, "query_embedding cannot be empty"),
        ({"query_embedding": [1.0] * 4097}, "query_embedding dimension 4097 exceeds maximum 4096"),
        ({"query_embedding": [math.nan] * 4}, "query_embedding must contain only finite values"),
        ({"k": 0}, "k must be greater than 0"),
        ({"k": 1001}, "k must be <= 1000"),
        ({"ef_search": 10_001}, "ef_search must be <= 10000"),
        ({"query_embedding": [1.0] * 3}, "query dimension mismatch: expected 4 found 3"),
        ({"query_embedding": [0.0] * 4}, "Search failed: query_embedding norm is zero"),
        ({"min_score": math.nan}, "min_score must be a number"),
        ({"namespace": "n" * 1025}, "namespace has 1025 bytes"),
        ({"query_embedding": [], "k": 0}, "query_embedding cannot be empty"),
        ({"k": 0, "ef_search": 10_001}, "k must be greater than 0"),
    ],
)
def test_bad_search_is_refused_in_the_words_clients_know(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        GrpcSearchCodec(COSINE).decode(asked(**fields), ANYBODY)
    assert message in str(refused.value)
    few = [(asked(), ANYBODY), (asked(**fields), ANYBODY), (asked(), Caller(tenant=2))]
    for payloads in (few, few[:1] * 8 + few[1:]):  # from eight on they are checked all at once
        *first, bad, last = GrpcSearchCodec(COSINE).decode_many(payloads)
        assert_neighbours_unharmed(first, bad, last, refused.value)


def assert_neighbours_unharmed(
    first: list[SearchRequest | InvalidArgument],
    bad: SearchRequest | InvalidArgument,
    last: SearchRequest | InvalidArgument,
    refused: InvalidArgument,
) -> None:
    assert isinstance(bad, InvalidArgument)
    assert (str(bad), bad.field) == (str(refused), refused.field)
    for sound, scope in [*((one, EVERYTHING) for one in first), (last, Scope(2, ""))]:
        assert isinstance(sound, SearchRequest)
        assert (sound.scope, sound.vector.tolist()) == (scope, VECTOR)


@pytest.mark.parametrize(("k", "ef"), [(1, 0), (1000, 10_000)])
def test_bounds_themselves_are_accepted(k: int, ef: int) -> None:
    request = GrpcSearchCodec(COSINE).decode(asked(k=k, ef_search=ef), ANYBODY)
    assert (request.k, request.ef_search) == (k, ef)


def test_wish_for_inline_errors_is_read_from_a_refused_search() -> None:
    assert wants_inline_errors(asked(k=0, inline_errors=True))
    assert not wants_inline_errors(asked(k=0))
    assert not wants_inline_errors(b"\xff\xff")


def test_batch_of_ids_is_bounded() -> None:
    decode.check_batch(10_000)
    with pytest.raises(InvalidArgument, match="Batch size 10001 exceeds maximum 10000"):
        decode.check_batch(10_001)


def test_doc_id_zero_is_refused() -> None:
    assert decode.checked_doc_id(1) == 1
    with pytest.raises(InvalidArgument, match="doc_id must be non-zero"):
        decode.checked_doc_id(0)


@given(metadata=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=50))
def test_a_request_counts_at_least_what_each_of_its_entries_takes(metadata: dict[str, str]) -> None:
    least = limits.ENTRY_BYTES * len(metadata)
    insert = pb.InsertRequest(doc_id=1, embedding=VECTOR, metadata=metadata).SerializeToString()
    update = pb.UpdateMetadataRequest(doc_id=1, metadata=metadata).SerializeToString()
    assert request_bytes(insert) >= len(insert) + least
    assert request_bytes(update) >= len(update) + least
