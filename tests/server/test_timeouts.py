"""A real server whose cold tier has hardly any time: answers that leave some of it out say so and are counted."""

from __future__ import annotations

import time
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.server.running import running_server

from pykyro.model.limits import FILTER_NODES_MAX
from pykyro.proto import kyrodb_pb2 as pb

DEADLINE_S = PATIENCE_S


def slow_filter() -> pb.MetadataFilter:
    """As many conditions as a filter may have, which takes longer than a millisecond to look up in each segment."""
    conditions = [
        pb.MetadataFilter(exact=pb.ExactMatch(key="number", value=str(at)))
        for at in range(FILTER_NODES_MAX - 1)
    ]
    return pb.MetadataFilter(or_filter=pb.OrFilter(filters=conditions))


def test_an_answer_without_some_of_the_cold_tier_says_so_and_is_counted(tmp_path: Path) -> None:
    search = pb.SearchRequest(query_embedding=[1.0, 0.5, 0.25], k=10, filter=slow_filter())
    with running_server(
        tmp_path, hnsw__dimension=3, timeouts__cold_tier_ms=1, cache__query_cache_mode="off"
    ) as server:
        deadline_s, doc_id, answer = time.monotonic() + DEADLINE_S, 0, pb.SearchResponse()
        # Segments may be merged before they are searched, and one alone is always searched.
        while not answer.partial:
            assert time.monotonic() < deadline_s
            doc_id += 1
            server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=[1, 2, 3], metadata={"number": "1"}))
            server.stub.FlushHotTier(pb.FlushRequest(force=True))
            answer = server.stub.Search(search)
        assert answer.error == "the cold tier was not searched to its end within cold_tier_ms = 1"
        assert not answer.exact
        assert 0 < len(answer.results) < doc_id
        assert 'kyrodb_searches_partial_total{tier="cold"} 1\n' in server.http("/metrics").text
        whole = server.stub.Search(pb.SearchRequest(query_embedding=[1.0, 0.5, 0.25], k=1000, exact=True))
        assert (len(whole.results), whole.partial, whole.error) == (doc_id, False, "")
