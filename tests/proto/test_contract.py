"""The wire contract, written out: numbers, names, types and enum values that clients were built against."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pykyro.proto import kyrodb_pb2, kyrodb_wire_pb2
from pykyro.proto.methods import METHODS
from pykyro.version import SERVICE

ROOT = Path(__file__).resolve().parents[2]

RPCS = """
Insert              unary         InsertRequest          InsertResponse
BulkInsert          client-stream InsertRequest          InsertResponse
BulkLoadHnsw        client-stream InsertRequest          BulkLoadResponse
Delete              unary         DeleteRequest          DeleteResponse
UpdateMetadata      unary         UpdateMetadataRequest  UpdateMetadataResponse
Query               unary         QueryRequest           QueryResponse
Search              unary         SearchRequest          SearchResponse
BulkSearch          bidi-stream   SearchRequest          SearchResponse
BulkQuery           unary         BulkQueryRequest       BulkQueryResponse
BatchDelete         unary         BatchDeleteRequest     BatchDeleteResponse
Health              unary         HealthRequest          HealthResponse
Metrics             unary         MetricsRequest         MetricsResponse
FlushHotTier        unary         FlushRequest           FlushResponse
CreateSnapshot      unary         SnapshotRequest        SnapshotResponse
GetConfig           unary         ConfigRequest          ConfigResponse
"""

MESSAGES = {
    "InsertRequest": "1 doc_id uint64, 2 embedding repeated float, 3 metadata map, 4 namespace string",
    "InsertResponse": "1 success bool, 2 error string, 3 inserted_at uint64, 4 tier enum, "
    "5 total_inserted uint64, 6 total_failed uint64",
    "BulkLoadResponse": "1 success bool, 2 error string, 3 total_loaded uint64, 4 total_failed uint64, "
    "5 load_duration_ms float, 6 avg_insert_rate float, 7 peak_memory_bytes uint64",
    "DeleteRequest": "1 doc_id uint64, 2 namespace string",
    "DeleteResponse": "1 success bool, 2 error string, 3 existed bool",
    "UpdateMetadataRequest": "1 doc_id uint64, 2 metadata map, 3 merge bool, 4 namespace string",
    "UpdateMetadataResponse": "1 success bool, 2 error string, 3 existed bool",
    "BulkQueryRequest": "1 doc_ids repeated uint64, 2 include_embeddings bool, 3 namespace string",
    "BulkQueryResponse": "1 results repeated QueryResponse, 2 total_found uint32, 3 total_requested uint32, "
    "4 error string",
    "BatchDeleteRequest": "1 ids IdList, 2 filter MetadataFilter, 3 namespace string",
    "IdList": "1 doc_ids repeated uint64",
    "BatchDeleteResponse": "1 success bool, 2 deleted_count uint64, 3 error string",
    "QueryRequest": "1 doc_id uint64, 2 include_embedding bool, 3 namespace string",
    "QueryResponse": "1 found bool, 2 doc_id uint64, 3 embedding repeated float, 4 metadata map, "
    "5 served_from enum, 6 error string",
    "SearchRequest": "1 query_embedding repeated float, 2 k uint32, 3 min_score float, 4 namespace string, "
    "5 include_embeddings bool, 6 filter MetadataFilter, 7 ef_search uint32, 8 metadata_filters map",
    "MetadataFilter": "1 exact ExactMatch, 2 range RangeMatch, 3 in_match InMatch, 4 and_filter AndFilter, "
    "5 or_filter OrFilter, 6 not_filter NotFilter",
    "ExactMatch": "1 key string, 2 value string",
    "RangeMatch": "1 key string, 2 gte string, 3 lte string, 4 gt string, 5 lt string",
    "InMatch": "1 key string, 2 values repeated string",
    "AndFilter": "1 filters repeated MetadataFilter",
    "OrFilter": "2 filters repeated MetadataFilter",
    "NotFilter": "1 filter MetadataFilter",
    "SearchResult": "1 doc_id uint64, 2 score float, 3 embedding repeated float, 4 metadata map",
    "SearchResponse": "1 results repeated SearchResult, 2 total_found uint32, 3 search_latency_ms float, "
    "4 search_path enum, 5 error string",
    "HealthRequest": "1 component string",
    "HealthResponse": "1 status enum, 2 version string, 3 components map, 4 uptime_seconds uint64, "
    "5 git_commit string",
    "MetricsRequest": "1 categories repeated string",
    "MetricsResponse": "1 cache_hits uint64, 2 cache_misses uint64, 3 cache_hit_rate double, "
    "4 cache_size uint64, 5 hot_tier_hits uint64, 6 hot_tier_misses uint64, 7 hot_tier_hit_rate double, "
    "8 hot_tier_size uint64, 9 hot_tier_flushes uint64, 10 cold_tier_searches uint64, "
    "11 cold_tier_size uint64, 12 p50_latency_ms double, 13 p95_latency_ms double, 14 p99_latency_ms double, "
    "15 total_queries uint64, 16 total_inserts uint64, 17 queries_per_second double, "
    "18 inserts_per_second double, 19 memory_usage_bytes uint64, 20 disk_usage_bytes uint64, "
    "21 cpu_usage_percent double, 22 overall_hit_rate double, 23 collected_at uint64",
    "FlushRequest": "1 force bool",
    "FlushResponse": "1 success bool, 2 error string, 3 documents_flushed uint64, 4 flush_duration_ms float",
    "SnapshotRequest": "1 path string",
    "SnapshotResponse": "1 success bool, 2 error string, 3 snapshot_path string, "
    "4 documents_snapshotted uint64, 5 snapshot_size_bytes uint64",
    "ConfigRequest": "",
    "ConfigResponse": "1 hot_tier_max_size uint64, 2 hot_tier_max_age_seconds uint64, "
    "3 hnsw_max_elements uint64, 4 data_dir string, 5 fsync_policy string, 6 snapshot_interval uint64, "
    "7 flush_interval_seconds uint64, 8 embedding_dimension uint64, 9 version string, 10 hnsw_m uint64, "
    "11 hnsw_ef_construction uint64, 12 hnsw_ef_search uint64, 13 hnsw_distance string, "
    "14 hnsw_disable_normalization_check bool",
}

ENUMS = {
    ("InsertResponse", "tier"): {"UNKNOWN": 0, "HOT_TIER": 1, "COLD_TIER": 2},
    ("QueryResponse", "served_from"): {"UNKNOWN": 0, "CACHE": 1, "HOT_TIER": 2, "COLD_TIER": 3},
    ("SearchResponse", "search_path"): {
        "UNKNOWN": 0,
        "CACHE_HIT": 1,
        "HOT_TIER_ONLY": 2,
        "COLD_TIER_ONLY": 3,
        "HOT_AND_COLD": 4,
    },
    ("HealthResponse", "status"): {"UNKNOWN": 0, "HEALTHY": 1, "DEGRADED": 2, "UNHEALTHY": 3},
}

ONEOFS = {
    "BatchDeleteRequest": {"delete_criteria": ["ids", "filter"]},
    "MetadataFilter": {
        "filter_type": ["exact", "range", "in_match", "and_filter", "or_filter", "not_filter", "typed"],
    },
    "RangeMatch": {"bound": ["gte", "lte", "gt", "lt"]},
}

ADDITIONS_FROM = 100


def described(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields
        assert [side.type for side in entry] == [FieldDescriptor.TYPE_STRING] * 2
        return f"{field.number} {field.name} map"
    names = {number: name for name, number in vars(FieldDescriptor).items() if name.startswith("TYPE_")}
    kind = field.message_type.name if field.message_type is not None else names[field.type][5:].lower()
    return f"{field.number} {field.name} {'repeated ' if field.is_repeated else ''}{kind}"


def message(name: str) -> Descriptor:
    return kyrodb_pb2.DESCRIPTOR.message_types_by_name[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_message_has_the_fields_clients_know(name: str) -> None:
    known = [field for field in message(name).fields if field.number < ADDITIONS_FROM]
    assert (
        ", ".join(described(field) for field in sorted(known, key=lambda field: field.number))
        == MESSAGES[name]
    )


def test_no_message_that_clients_know_is_gone() -> None:
    assert set(MESSAGES) <= set(kyrodb_pb2.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize(("name", "field"), ENUMS)
def test_enum_has_the_values_clients_know(name: str, field: str) -> None:
    enum = message(name).fields_by_name[field].enum_type
    assert enum is not None
    assert {value.name: value.number for value in enum.values} == ENUMS[name, field]


@pytest.mark.parametrize("name", ONEOFS)
def test_oneof_holds_the_alternatives_clients_know(name: str) -> None:
    found = {oneof.name: [field.name for field in oneof.fields] for oneof in message(name).oneofs}
    assert found == ONEOFS[name]


def test_service_has_the_rpcs_clients_know() -> None:
    kinds = {
        (False, False): "unary",
        (True, False): "client-stream",
        (True, True): "bidi-stream",
        (False, True): "server-stream",
    }
    found = [
        [
            method.name,
            kinds[method.client_streaming, method.server_streaming],
            method.request.DESCRIPTOR.name,
            method.response.DESCRIPTOR.name,
        ]
        for method in METHODS.values()
    ]
    known = [line.split() for line in RPCS.strip().splitlines()]
    assert [one for one in found if one in known] == known
    assert SERVICE == "kyrodb.v1.KyroDBService"


@pytest.mark.parametrize("name", ["InsertRequest", "SearchRequest"])
def test_server_side_message_differs_only_in_the_vector(name: str) -> None:
    public = [described(field) for field in message(name).fields]
    internal = [described(field) for field in kyrodb_wire_pb2.DESCRIPTOR.message_types_by_name[name].fields]
    assert [line.replace("repeated float", "bytes") for line in public] == internal


def test_committed_code_is_what_the_proto_files_generate(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_proto", ROOT / "scripts" / "generate_proto.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.generate(tmp_path)
    generated = sorted((tmp_path / "pykyro" / "proto").iterdir())
    assert len(generated) == 4
    for file in generated:
        committed = ROOT / "src" / "pykyro" / "proto" / file.name
        assert committed.read_text() == file.read_text(), f"{file.name}: run scripts/generate_proto.py"
