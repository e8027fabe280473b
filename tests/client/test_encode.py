"""Requests as bytes: what protobuf reads from them is what was asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.metadata_cases import filters, metadata

from pykyro.client.encode import insert_request, search_request
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, matches
from pykyro.model.requests import SearchRequest
from pykyro.model.types import Document, Scope
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.filter_messages import filter_message
from pykyro.transport.grpc.decode_filter import decode_filter

VECTOR = np.array([1.5, -0.0, 3e38, 1e-45], dtype=np.float32)


@given(filters, metadata)
@settings(max_examples=300, deadline=None)
def test_the_server_reads_the_filter_that_was_meant(condition: Filter, document: dict[str, str]) -> None:
    read = decode_filter(filter_message(condition))
    assert matches(read, document) == matches(condition, document)


@pytest.mark.parametrize(
    "condition",
    [
        Anything(),
        Exact("a", "x"),
        Range("a", None),
        Range("a", "gt", ""),
        In("a", ("x", "y")),
        In("a", ()),
        And((Exact("a", "x"), Or((Exact("b", "y"), Not(Exact("c", "z")))))),
        Or(()),
        Not(None),
        Not(Anything()),
    ],
)
def test_each_kind_of_filter_keeps_its_form(condition: Filter) -> None:
    assert decode_filter(filter_message(condition)) == condition


@given(
    st.integers(1, 2**64 - 1), st.dictionaries(st.text(max_size=5), st.text(max_size=5)), st.text(max_size=5)
)
def test_an_insert_request_is_the_public_message(
    doc_id: int, entries: dict[str, str], namespace: str
) -> None:
    read = pb.InsertRequest.FromString(insert_request(Document(doc_id, VECTOR, entries), namespace))
    assert read == pb.InsertRequest(
        doc_id=doc_id, embedding=VECTOR.tolist(), metadata=entries, namespace=namespace
    )


def test_a_search_request_is_the_public_message() -> None:
    request = SearchRequest(
        vector=VECTOR,
        k=7,
        ef_search=90,
        scope=Scope(namespace="ns"),
        min_score=-0.5,
        exact=True,
        include_vectors=True,
        include_metadata=False,
    )
    condition = pb.MetadataFilter(exact=pb.ExactMatch(key="a", value="x"))
    assert pb.SearchRequest.FromString(search_request(request, condition)) == pb.SearchRequest(
        query_embedding=VECTOR.tolist(),
        k=7,
        min_score=-0.5,
        namespace="ns",
        include_embeddings=True,
        filter=condition,
        ef_search=90,
        exact=True,
        exclude_metadata=True,
    )
    plain = search_request(SearchRequest(vector=VECTOR, k=1), None)
    assert pb.SearchRequest.FromString(plain) == pb.SearchRequest(query_embedding=VECTOR.tolist(), k=1)
